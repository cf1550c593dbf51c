// Command kube is a whole Kubernetes in one binary, for tests on a machine without any:
//
//	kube pki DIR --address IP            keys, certificates and kubeconfigs
//	kube control-plane DIR --address IP  etcd, API server, controllers, scheduler in one process
//	kube kubelet ...                     upstream's commands with upstream's flags
//	kube kube-proxy ...
//	kube kubectl ...
//
// It is linked from upstream's own packages, so what answers is the real thing and not an
// imitation of it. One binary, because the parts share nearly all of their code: linked apart
// they take twice the time and four times the disk. Run under one of the names above (a symbolic
// link), it is that command. `tests/cluster/cluster` builds it and decides how it is run.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

var commands = map[string]func(args []string) error{
	"pki":           pki,
	"control-plane": controlPlane,
	"kubelet":       upstream(kubelet),
	"kube-proxy":    upstream(kubeProxy),
	"kubectl":       kubectl,
}

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if _, known := commands[name]; !known && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	command, known := commands[name]
	if !known {
		fmt.Fprintln(os.Stderr, "usage: kube pki|control-plane|kubelet|kube-proxy|kubectl ...")
		os.Exit(2)
	}
	// Upstream's commands read os.Args themselves.
	os.Args = append([]string{name}, args...)
	if err := command(args); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

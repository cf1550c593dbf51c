package main

// The control plane: etcd, API server, controller manager and scheduler as goroutines of one
// process, each through the entry point its own program uses. They talk over the loopback device
// and the cluster's certificates as they would apart; what they share is code and memory.
//
// Order matters twice. The controller manager's command is built before the API server's, since
// both add feature gates to one registry and the API server seals it. And the signal handler
// exists once a process: the API server's command installs it, so the scheduler is started
// through Setup and Run, which do without.
//
// SIGTERM ends it within `lingering`: the API server waits for open watches, and the controllers
// in the same process hold some, so waiting for a clean end would be waiting for oneself.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register"
	apiserverapp "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllerapp "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	schedulerapp "k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"
)

// 1 s: requests under way end in far less, and a story that stops the API server waits for it.
const lingering = time.Second

// What deployments, services, namespaces, accounts and their removal need. Left out: volumes,
// autoscaling, certificates, cloud.
var controllers = []string{
	"serviceaccount-controller", "serviceaccount-token-controller", "root-ca-certificate-publisher-controller",
	"namespace-controller", "garbage-collector-controller", "pod-garbage-collector-controller",
	"endpoints-controller", "endpointslice-controller", "endpointslice-mirroring-controller",
	"deployment-controller", "replicaset-controller", "statefulset-controller", "daemonset-controller",
	"job-controller", "disruption-controller", "clusterrole-aggregation-controller",
	"node-lifecycle-controller", "taint-eviction-controller",
}

type plane struct{ dir, address, services string }

func controlPlane(args []string) error {
	flags := flag.NewFlagSet("control-plane", flag.ContinueOnError)
	address := flags.String("address", "", "address the API server is reached at")
	services := flags.String("services", "10.96.0.0/16", "range of ClusterIPs")
	dir, err := parseWithDir(flags, args)
	if err != nil {
		return err
	}
	return plane{dir, *address, *services}.run()
}

func (p plane) run() error {
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	controllerManager := controllerapp.NewControllerManagerCommand()
	apiServer := apiserverapp.NewAPIServerCommand()
	// The command's own handler ends the process on a second signal; this one sees the first.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)

	if err := startEtcd(filepath.Join(p.dir, "etcd")); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	ended := make(chan error, 3)
	go func() { ended <- named("API server", execute(apiServer, p.apiServerFlags())) }()
	if err := p.waitForAPIServer(stop, ended); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { ended <- named("controller manager", execute(controllerManager, p.controllerFlags())) }()
	go func() { ended <- named("scheduler", p.schedule(ctx)) }()

	select {
	case err := <-ended:
		return err
	case <-stop:
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(lingering):
	}
	return nil
}

func execute(command *cobra.Command, arguments []string) error {
	command.SetArgs(arguments)
	command.SilenceUsage = true
	return command.Execute()
}

// named says whose end it was: none of the parts may end before the process is told to.
func named(part string, err error) error {
	if err == nil {
		err = errors.New("ended")
	}
	return fmt.Errorf("%s: %w", part, err)
}

func (p plane) file(name string) string { return filepath.Join(p.dir, "pki", name) }

func (p plane) apiServerFlags() []string {
	return []string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=0.0.0.0",
		fmt.Sprintf("--secure-port=%d", securePort),
		"--advertise-address=" + p.address,
		"--service-cluster-ip-range=" + p.services,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + p.file("service-account.key"),
		"--service-account-signing-key-file=" + p.file("service-account.key"),
		"--client-ca-file=" + p.file("ca.crt"),
		"--tls-cert-file=" + p.file("apiserver.crt"),
		"--tls-private-key-file=" + p.file("apiserver.key"),
		"--kubelet-client-certificate=" + p.file("kubelet-client.crt"),
		"--kubelet-client-key=" + p.file("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--profiling=false",
	}
}

func (p plane) controllerFlags() []string {
	kubeconfig := p.file("controller-manager.kubeconfig")
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + p.file("service-account.key"),
		"--root-ca-file=" + p.file("ca.crt"),
		"--controllers=" + strings.Join(controllers, ","),
		"--profiling=false",
	}
}

func (p plane) schedule(ctx context.Context) error {
	kubeconfig := p.file("scheduler.kubeconfig")
	options := scheduleroptions.NewOptions()
	command := &cobra.Command{
		Use: "kube-scheduler",
		RunE: func(*cobra.Command, []string) error {
			if err := logsapi.ValidateAndApply(options.Logs, utilfeature.DefaultFeatureGate); err != nil {
				return err
			}
			config, scheduler, err := schedulerapp.Setup(ctx, options)
			if err != nil {
				return err
			}
			return schedulerapp.Run(ctx, config, scheduler)
		},
	}
	for _, set := range options.Flags.FlagSets {
		command.Flags().AddFlagSet(set)
	}
	return execute(command, []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
		"--profiling=false",
	})
}

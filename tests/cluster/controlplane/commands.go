package main

// Upstream's own commands, unchanged: the kubelet, kube-proxy and kubectl.

import (
	"context"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectlcmd "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	proxyapp "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"
)

func upstream(construct func() *cobra.Command) func([]string) error {
	return func([]string) error {
		os.Exit(cli.Run(construct()))
		return nil
	}
}

func kubelet() *cobra.Command {
	return kubeletapp.NewKubeletCommand(context.Background())
}

func kubeProxy() *cobra.Command {
	return proxyapp.NewProxyCommand()
}

func kubectl([]string) error {
	// kubectl reads its verbosity before it builds its flags.
	_, _ = logs.GlogSetter(kubectlcmd.GetLogVerbosity(os.Args))
	kubectlutil.CheckErr(cli.RunNoErrOutput(kubectlcmd.NewDefaultKubectlCommand()))
	return nil
}

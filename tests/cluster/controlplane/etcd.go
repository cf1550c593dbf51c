package main

// etcd inside the process, on the loopback device. It does not sync to disk, and it is never closed
// but ends with the process: the machine's page cache outlives both, which is all that stopping and
// starting the API server asks for, while a clean close would wait for the API server's streams.

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	etcdURL     = "http://127.0.0.1:2379"
	etcdPeerURL = "http://127.0.0.1:2380"
	// A minute: cold start on a busy two-core machine takes under ten seconds.
	patience = time.Minute
)

func startEtcd(dir string) error {
	config := embed.NewConfig()
	config.Dir = dir
	config.LogLevel = "error"
	config.LogOutputs = []string{"stderr"}
	config.UnsafeNoFsync = true
	client, err := url.Parse(etcdURL)
	if err != nil {
		return err
	}
	peer, err := url.Parse(etcdPeerURL)
	if err != nil {
		return err
	}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	store, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	select {
	case <-store.Server.ReadyNotify():
		return nil
	case err := <-store.Err():
		return err
	case <-time.After(patience):
		return errors.New("not ready after a minute")
	}
}

// waitForAPIServer holds the controllers back until the API server answers: they would give up
// on one that refuses connections, and wait out long pauses on one that is not ready.
func (p plane) waitForAPIServer(stop <-chan os.Signal, ended <-chan error) error {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(p.dir, "pki", "admin.kubeconfig"))
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	deadline := time.After(patience)
	for {
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(context.Background())
		if err == nil {
			return nil
		}
		select {
		case err := <-ended:
			return err
		case <-stop:
			return errors.New("stopped before the API server was ready")
		case <-deadline:
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

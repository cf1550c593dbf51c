# What runs in the space: containerd, the control plane, the kubelet, kube-proxy. Sourced by `cluster`.
# Each is written its configuration at start, so what is special here can be read in one place.

node=node-1
containerd_socket=/run/containerd/containerd.sock

start_containerd() {
  local plugins
  plugins=$(cni_dir)
  mkdir -p "$home/cni"
  cat >"$home/cni/10-bridge.conflist" <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "br0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}],
            "ranges": [[{"subnet": "$network", "rangeStart": "10.200.1.0", "rangeEnd": "10.200.255.250", "gateway": "$address"}]]}}]}
END
  cat >"$home/containerd.toml" <<END
version = 2
root = "$home/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "$containerd_socket"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "sluice.test/pause:1"
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true     # root without CAP_SYS_RESOURCE may not lower it
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$plugins"
    conf_dir = "$home/cni"
END
  daemon containerd containerd --config "$home/containerd.toml"
  eventually 30 inside ctr version
}

load_own_images() {
  inside ctr -n k8s.io images import "$pause_image" &&
    inside ctr -n k8s.io images import "$backend_image"
}

start_control_plane() {
  daemon control-plane "$home/bin/kube" control-plane "$home" --address "$address" --services "$services"
  eventually 60 api_answers && eventually 30 api_serves
}

# The last thing the control plane's own start waits for is the first that every pod needs.
api_answers() { kubectl_ get --raw /readyz; }
api_serves() { kubectl_ get serviceaccount default --namespace default; }

# Ports stay taken until the process has gone, so a stop waits for its end.
stop_control_plane() {
  daemon_signal control-plane TERM || fail "the control plane does not run"
  eventually 15 control_plane_gone || { daemon_signal control-plane KILL; eventually 5 control_plane_gone; }
}
control_plane_gone() { ! daemon_runs control-plane; }

kubectl_() { inside "$home/bin/kube" kubectl --kubeconfig "$home/pki/admin.kubeconfig" "$@"; }

start_node() {
  start_kubelet
  start_kube_proxy
  eventually 60 kubectl_ wait --for=condition=Ready "node/$node" --timeout=1s &&
    eventually 30 cluster_ip_answers
}

# kube-proxy has done its part when the API server can be reached by its ClusterIP.
cluster_ip_answers() { inside curl -sk --max-time 1 -o /dev/null "https://${services%.0.0/16}.0.1/readyz"; }

start_kubelet() {
  cat >"$home/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$containerd_socket
cgroupDriver: cgroupfs
cgroupRoot: /$group/pods
failCgroupV1: false                 # machines with the old control groups are welcome
failSwapOn: false
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $home/pki/ca.crt}
authorization: {mode: Webhook}
resolvConf: ""                      # there is no DNS and nothing outside to resolve
volumePluginDir: $home/kubelet/volume-plugins
podLogsDir: /var/log/pods
# A test must not fail because the machine's disk is nearly full, nor lose its images for that.
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 4s
logging: {verbosity: 1}
END
  daemon kubelet "$home/bin/kube" kubelet --config "$home/kubelet.yaml" --kubeconfig "$home/pki/kubelet.kubeconfig" \
    --hostname-override "$node" --node-ip "$address"
}

start_kube_proxy() {
  cat >"$home/kube-proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $home/pki/kube-proxy.kubeconfig}
hostnameOverride: $node
clusterCIDR: $network
metricsBindAddress: 127.0.0.1:10249
healthzBindAddress: 127.0.0.1:10256
# Pods are neighbours on one bridge: an answer would go straight back and never be translated, so
# what comes through a ClusterIP comes from the node's address.
nftables: {masqueradeAll: true}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}   # the kernel's own
END
  daemon kube-proxy "$home/bin/kube" kube-proxy --config "$home/kube-proxy.yaml"
}

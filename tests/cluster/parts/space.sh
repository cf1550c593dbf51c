# Where the cluster lives: namespaces and control groups, and how they are ended. Sourced by `cluster`.
#
# One process, the holder, is the first of a new pid namespace and keeps the network and mount
# namespaces open. Whatever enters goes into the control group too, so that a crashed run is found
# by its group even when nobody remembers the holder's id.

group=sluice-cluster-$name
# What all clusters of this machine share: made by the first, put back by the last. (A directory
# removed under a mount would be unmounted in every namespace, so nobody else may remove it.)
shared=${home%/*}
# Settings of the whole kernel that a kubelet changes.
kernel_settings=(vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes)
# Directories with fixed names; in the cluster's mount namespace something of ours lies over them.
covered=(/run/mount /run/containerd /var/lib/kubelet /var/lib/cni)

# Every control group hierarchy: one with version 2, one a controller with version 1, and with
# "hybrid" machines both.
hierarchies() { awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/self/mounts; }

groups_create() {
  local root
  for root in $(hierarchies); do
    mkdir -p "$root/$group"
    if [ -s "$root/cgroup.controllers" ]; then
      # Version 2: a group has the controllers that its parent hands down.
      sed 's/^/+/; s/ / +/g' "$root/cgroup.controllers" >"$root/cgroup.subtree_control"
      sed 's/^/+/; s/ / +/g' "$root/$group/cgroup.controllers" >"$root/$group/cgroup.subtree_control"
    fi
    mkdir -p "$root/$group/daemons" "$root/$group/pods"
    # Version 1: a new cpuset is empty, and an empty one lets nothing run.
    [ ! -e "$root/cpuset.cpus" ] || cpuset_fill "$root"
  done
}

cpuset_fill() {
  local below file
  for below in "$group" "$group/daemons" "$group/pods"; do
    for file in cpuset.cpus cpuset.mems; do cat "$1/$file" >"$1/$below/$file"; done
  done
}

# enter_group: puts the calling process where its descendants can be found.
enter_group() {
  local root
  for root in $(hierarchies); do echo 0 >"$root/$group/daemons/cgroup.procs"; done
}

residents() {
  local root
  for root in $(hierarchies); do
    [ ! -d "$root/$group" ] || find "$root/$group" -name cgroup.procs -exec cat {} +
  done | sort -un
}

groups_remove() {
  local root
  for root in $(hierarchies); do
    [ ! -d "$root/$group" ] || find "$root/$group" -depth -type d -exec rmdir {} +
  done
}

space_exists() {
  local root
  [ ! -e "$home" ] || return 0
  for root in $(hierarchies); do [ ! -d "$root/$group" ] || return 0; done
  return 1
}

space_create() {
  mkdir -p "$home"/{bin,run,log,etcd,kubelet,containerd}
  [ -e "$shared/kernel-settings" ] || share
  groups_create
  # A session of its own: an interrupt at the terminal is for the stories, not for the cluster.
  (
    enter_group
    exec setsid unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private \
      "$here/cluster" hold </dev/null >"$home/log/holder.log" 2>&1 9>&-
  ) &
  echo "$!" >"$home/run/unshare"
  eventually 10 test -e "$home/run/held" || { cat "$home/log/holder.log"; return 1; }
}

# share: what the first cluster of a machine finds and makes.
share() {
  local dir setting
  for dir in "${covered[@]}"; do
    [ -d "$dir" ] || { echo "$dir" >>"$shared/made"; mkdir -p "$dir"; }
  done
  for setting in "${kernel_settings[@]}"; do
    [ ! -r "/proc/sys/$setting" ] || echo "$setting $(cat "/proc/sys/$setting")"
  done >"$shared/kernel-settings"
}

# unshare_last: puts it back, unless other clusters are still there.
unshare_last() {
  local setting value dir
  [ -z "$(find "$shared" -mindepth 1 -maxdepth 1 -type d)" ] || return 0
  while read -r setting value; do
    echo "$value" >"/proc/sys/$setting"
  done <"$shared/kernel-settings" || true
  [ ! -e "$shared/made" ] || xargs rmdir <"$shared/made" || true
  rm -rf "$shared"
}

# hold: the first process in the namespaces. Makes the network and the mounts, then waits.
hold() {
  local dir
  mount -n --make-rshared /
  for dir in /run/mount /run/containerd /var/lib/cni; do mount -n -t tmpfs tmpfs "$dir"; done
  mount --bind "$home/kubelet" /var/lib/kubelet
  mount --bind "$home/log" /var/log
  ip link set lo up
  # A fixed hardware address: a bridge without one changes it with every pod, and packets get lost.
  ip link add br0 address 02:00:0a:c8:00:01 type bridge
  ip address add "$address/${network#*/}" dev br0
  ip link set br0 up
  ip route add "$services" dev br0
  echo 1 >/proc/sys/net/ipv4/ip_forward
  touch "$home/run/held"
  # As first process it inherits orphans, and bash collects them while it waits.
  sleep infinity &
  wait
}

# holder: its process id, seen from outside. It is the one child of `unshare`; its command line is
# looked at as well, since process ids come again.
holder() { holder_if_up || fail "cluster $name is not up"; }
holder_if_up() { [ -e "$home/run/unshare" ] && pgrep -f "/cluster hold\$" -P "$(cat "$home/run/unshare")"; }

# inside COMMAND...: runs it in the cluster's namespaces.
inside() {
  local pid
  pid=$(holder) || return
  nsenter --target "$pid" --net --mount --pid -- "$@"
}

# daemon NAME COMMAND...: starts it in the cluster's namespaces and groups; its output is NAME.log.
daemon() {
  local daemon=$1
  shift
  (
    enter_group
    exec setsid nsenter --target "$(holder)" --net --mount --pid -- \
      bash -c 'echo $$ >"$0"; exec "$@"' "$home/run/$daemon.pid" "$@" </dev/null >>"$home/log/$daemon.log" 2>&1 9>&-
  ) &
}

# The process id of a daemon is that of the cluster's own pid namespace.
daemon_signal() { inside kill "-$2" "$(cat "$home/run/$1.pid")" 2>/dev/null; }
daemon_runs() { daemon_signal "$1" 0; }

space_remove() {
  local namespaces
  namespaces=$(space_namespaces)
  # The holder is the init process of its pid namespace: with it the kernel ends all others. The
  # rest of the group is what stands outside (nsenter) and what a half-made space has left.
  eventually 30 space_empty || { echo "processes will not end: $(residents | tr '\n' ' ')"; return 1; }
  eventually 10 groups_remove || { echo "control groups will not go"; return 1; }
  eventually 10 namespaces_gone "$namespaces" || { echo "namespaces are still in use: $namespaces"; return 1; }
  if grep -F "$home" /proc/self/mounts; then
    echo "these mounts are not ours to remove"
    return 1
  fi
  rm -rf "$home"
  unshare_last
  ! space_exists || { echo "left behind: $home or control groups"; return 1; }
}

# The space's namespaces as /proc names them, one a line; none when the holder is gone already.
space_namespaces() {
  local pid
  pid=$(holder_if_up) || return 0
  readlink "/proc/$pid/ns/net" "/proc/$pid/ns/mnt" "/proc/$pid/ns/pid" || true
}

# A namespace lives while a process is in it or a mount holds it; the latter we never make.
namespaces_gone() {
  [ -z "$1" ] || ! readlink /proc/[0-9]*/ns/{net,mnt,pid} 2>/dev/null | grep -qxF "$1"
}

space_empty() {
  local pids
  pids=$(residents)
  [ -z "$pids" ] || { xargs kill -KILL <<<"$pids" 2>/dev/null || true; return 1; }
}

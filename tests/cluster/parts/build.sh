# What the cluster is made of: Debian's packages, binaries built from the Go modules beside this
# file, and two images. Binaries are kept under the hash of their sources, so a second `up` builds
# nothing and a changed source is never served by an old binary. Sourced by `cluster`.

kubernetes_version=v1.36.3
gopackage_flags=(-trimpath -buildvcs=false)

# tool or file -> Debian package
needed=(
  containerd:containerd runc:runc buildah:buildah nft:nftables ip:iproute2
  nsenter:util-linux curl:curl pgrep:procps
)

require_machine() {
  [ "$(id -u)" = 0 ] || fail "needs root: namespaces, control groups and mounts are made"
  [ "$(uname -s)" = Linux ] || fail "needs Linux"
  grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || fail "the kernel has no overlay file system"
  unshare --net --mount --pid --fork true || fail "this machine does not allow new network, mount and pid namespaces"
  require_builders
}

require_builders() {
  command -v go >/dev/null || fail "needs Go 1.21 or later: the control plane is built from source"
}

cni_dir() {
  local dir
  for dir in /usr/lib/cni /opt/cni/bin; do
    [ ! -x "$dir/bridge" ] || { echo "$dir"; return; }
  done
  return 1
}

# Installs what is missing, and keeps the packages from starting services of their own.
install_packages() {
  local missing=() pair
  for pair in "${needed[@]}"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
  done
  cni_dir >/dev/null || missing+=(containernetworking-plugins)
  if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || fail "missing, and there is no apt-get to install it: ${missing[*]}"
    timed "installing ${missing[*]}" apt_install "${missing[@]}"
  fi
  unshare --net sh -c 'ip link add bridge0 type bridge && ip link add veth0 type veth peer name veth1 && nft add table inet t' 2>/dev/null ||
    fail "the kernel lacks bridge, veth or nf_tables"
}

apt_install() (
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q || exit
  apt-get install -y -q --no-install-recommends "$@"
)

# Names of all that is built, whether it exists yet or not.
locate_all() {
  kube=$(kept kube controlplane)/kube
  helm=$(kept helm helm)/helm
  backend=$(kept backend backend image)/backend
  backend_image=${backend%/*}/backend.tar
  pause_image=${backend%/*}/pause.tar
}

# kept NAME SOURCE...: the directory for what is built from these sources, wherever they stand.
kept() {
  local artefact=$1 hash
  shift
  hash=$(
    cd "$here"
    find "$@" parts/build.sh -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16
  )
  echo "$cache/$artefact-$hash"
}

build_all() {
  locate_all
  build "$kube" "Kubernetes $kubernetes_version (10 minutes of CPU time when nothing is cached)" build_kube
  build_helm_only
  build_images
}

build_images() {
  build "$backend" "the backend" build_backend
  build "$backend_image" "the backend's image" pack_backend
  build "$pause_image" "the pause image" pack_pause
}

build_helm_only() {
  locate_all
  build "$helm" "Helm (3 minutes of CPU time when nothing is cached)" build_helm
}

# build FILE TEXT FUNCTION: makes FILE, whole or not at all, and forgets old versions of it.
build() {
  local file=$1
  if [ ! -e "$file" ]; then
    mkdir -p "$(dirname "$file")"
    timed "building $2" "$3" "$file.new" || return
    mv "$file.new" "$file" || return
  fi
  touch "$(dirname "$file")"
  forget_old "$(basename "$(dirname "$file")")"
}

# A week: long enough to go back to yesterday's branch, and the disk does not fill up.
forget_old() {
  find "$cache" -maxdepth 1 -type d -name "${1%-*}-*" ! -name "$1" -mtime +7 -exec rm -rf {} +
}

gobuild() { CGO_ENABLED=0 nice go build "${gopackage_flags[@]}" "$@"; }

build_kube() {
  local number=${kubernetes_version#v} package=k8s.io/component-base/version stamp
  stamp="-X $package.gitVersion=$kubernetes_version -X $package.gitMajor=${number%%.*} -X $package.gitMinor=$(cut -d. -f2 <<<"$number")"
  (cd "$here/controlplane" && gobuild -ldflags "-s -w $stamp" -o "$1" .)
}
build_helm() { (cd "$here/helm" && gobuild -ldflags "-s -w" -o "$1" helm.sh/helm/v3/cmd/helm); }
build_backend() { (cd "$here/backend" && gobuild -ldflags "-s -w" -o "$1" .); }
pack_backend() { ENTRYPOINT=/backend COMMAND= PORTS=8080 LABELS= "$here/image" "$backend" sluice.test/backend:1 "$1"; }
pack_pause() { ENTRYPOINT=/pause COMMAND= PORTS= LABELS= "$here/image" "$backend" sluice.test/pause:1 "$1"; }

# shellcheck shell=bash disable=SC2154,SC2013,SC2034
# The proxies of the benchmarks, all with one duty: HTTP/1.1 on loopback to two endpoints, connections to them kept
# alive and shared, each in turn; X-Forwarded-For, -Proto, -Host and X-Request-Id written; no access log; one worker.
# Sourced by `run`, `instructions`, `idle` and `routes`, which set $work (a scratch folder), $proxies and the two cores.
#
# nginx, HAProxy and the load generators are those of the PATH, else Debian's packages, unpacked with what they need
# into a cache folder: nothing is installed, no service starts, no root is needed.

declare -A port=([nginx]=18081 [haproxy]=18082 [sluice]=18080)
admin_port=18090
endpoint_ports=(18091 18092)
nginx_processes="worker_processes 1;"
declare -A pid=()         # of everything started here, by name

die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; said=1; exit 1; }
said=0

# --- The programs -----------------------------------------------------------------------------------------------------

tools=${SLUICE_BENCH_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice-bench}
declare -A package=([nginx]=nginx [haproxy]=haproxy [wrk]=wrk [h2load]=nghttp2-client)

# provide PROGRAM...: makes them callable by name.
provide() {
  local program missing=() apt deb
  PATH=$PATH:/usr/sbin:$tools/root/usr/sbin:$tools/root/usr/bin
  for program in "$@"; do command -v "$program" >/dev/null || missing+=("${package[$program]}"); done
  if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || die "needs ${missing[*]}: not in the PATH, and no apt-get to fetch them"
    echo "fetching Debian's ${missing[*]} into $tools" >&2
    mkdir -p "$tools"/{lists,debs}/partial
    apt=(apt-get -qq -o Debug::NoLocking=true -o APT::Sandbox::User= -o Dir::State::lists="$tools/lists"
      -o Dir::Cache::archives="$tools/debs" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
    timeout 300 "${apt[@]}" update || die "apt-get update failed"
    timeout 300 "${apt[@]}" --yes --no-install-recommends --download-only install "${missing[@]}" >"$tools/log" 2>&1 ||
      die "apt-get could not fetch ${missing[*]}: $(tail -n 3 "$tools/log")"
    for deb in "$tools"/debs/*.deb; do dpkg-deb --extract "$deb" "$tools/root"; done
  fi
  libraries=$(echo "$tools"/root/usr/lib/*-linux-gnu*)
  for program in "$@"; do command -v "$program" >/dev/null || die "$program is still missing"; done
}

# on CORE COMMAND...: runs it pinned. Made for `on ... &`: the pid of the job is the command's own.
on() {
  local core=$1
  shift
  exec env LD_LIBRARY_PATH="$libraries" taskset --cpu-list "$core" "$@"
}

# show_versions: of what takes part.
show_versions() {
  local name
  for name in "${proxies[@]}"; do
    case $name in
      nginx) (on "$proxy_core" nginx -v) 2>&1 | sed 's/^nginx version: //' ;;
      haproxy) (on "$proxy_core" haproxy -v) | sed -n 1p ;;
      sluice) "$SLUICE_BINARY" --version ;;
    esac
  done
}

# find_sluice: sets $SLUICE_BINARY, built if nobody named one.
find_sluice() {
  if [ -z "${SLUICE_BINARY-}" ]; then
    cargo build --release --bin sluice || die "sluice does not build"
    SLUICE_BINARY=${CARGO_TARGET_DIR:-target}/release/sluice
  fi
  [ -x "$SLUICE_BINARY" ] || die "no program at SLUICE_BINARY=$SLUICE_BINARY"
}

# --- What they are told -----------------------------------------------------------------------------------------------

# nginx started by root gives its workers to another user, who may not read $work.
nginx_user() { [ "$(id -u)" != 0 ] || echo "user root;"; }

write_endpoints() {
  mkdir -p "$work/www"
  head -c 65536 /dev/zero | tr '\0' x > "$work/www/64k"
  head -c 1048576 /dev/zero | tr '\0' x > "$work/www/1m"
  cat > "$work/endpoints.conf" <<CONF
$(nginx_user)
daemon off; worker_processes 1; pid $work/endpoints.pid; error_log $work/endpoints.log;
events { worker_connections ${max_connections:-4096}; }
http {
  access_log off; client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
  uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
  keepalive_requests 1000000000; keepalive_timeout 600s; sendfile on; tcp_nopush on; open_file_cache max=16;
  server {
    listen 127.0.0.1:${endpoint_ports[0]}; listen 127.0.0.1:${endpoint_ports[1]};
    root $work/www; default_type text/plain;
    location = /1k { return 200 $(head -c 1024 /dev/zero | tr '\0' x); }
    location = /duty { return 200 "\$server_port for=\$http_x_forwarded_for proto=\$http_x_forwarded_proto host=\$http_x_forwarded_host id=\$http_x_request_id connection=\$http_connection;"; }
  }
}
CONF
}

# nginx halves its speed from 64 KiB on with the buffers it has by itself, and would use the disk.
write_nginx() {
  cat > "$work/nginx.conf" <<CONF
$(nginx_user)
daemon off; $nginx_processes pid $work/nginx.pid; error_log $work/nginx.log;
events { worker_connections ${max_connections:-4096}; }
http {
  access_log off; client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
  uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
  keepalive_requests 1000000000; keepalive_timeout 600s;
  upstream endpoints {
    server 127.0.0.1:${endpoint_ports[0]}; server 127.0.0.1:${endpoint_ports[1]};
    keepalive 512; keepalive_requests 1000000000; keepalive_timeout 600s;
  }
  server {
    listen 127.0.0.1:${port[nginx]} backlog=4096;
    location / {
      proxy_pass http://endpoints; proxy_http_version 1.1; proxy_max_temp_file_size 0;
      proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;
      proxy_set_header Connection ""; proxy_set_header Host \$host;
      proxy_set_header X-Forwarded-For \$remote_addr; proxy_set_header X-Forwarded-Proto \$scheme;
      proxy_set_header X-Forwarded-Host \$http_host; proxy_set_header X-Request-Id \$request_id;
    }
  }
}
CONF
}

write_haproxy() {
  cat > "$work/haproxy.conf" <<CONF
global
  nbthread 1
  maxconn ${max_connections:-4096}
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend clients
  bind 127.0.0.1:${port[haproxy]} backlog 4096
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Request-Id %[uuid]
  default_backend endpoints
backend endpoints
  balance roundrobin
  http-reuse always
  server a 127.0.0.1:${endpoint_ports[0]}
  server b 127.0.0.1:${endpoint_ports[1]}
CONF
}

# With more duty than the others: a token bucket for each client, a breaker, passive health, metrics.
write_sluice() {
  cat > "$work/sluice.yaml" <<CONF
listeners:
  - {name: http, port: ${port[sluice]}}
observability: {accessLog: {format: none}}
upstreams:
  - name: endpoints
    endpoints: [http://127.0.0.1:${endpoint_ports[0]}, http://127.0.0.1:${endpoint_ports[1]}]
    healthCheck: {passive: {}}
    circuitBreaker: {}
routes:
  - path: /
    rateLimits: [{name: per-client, rate: 100000000/s}]
    backends: [{upstream: endpoints}]
CONF
}

# command_of NAME: sets $argv to what runs it in the foreground.
command_of() {
  case $1 in
    endpoints | nginx) argv=(nginx -p "$work" -e "$work/$1.log" -c "$work/$1.conf") ;;
    haproxy) argv=(haproxy -db -f "$work/haproxy.conf") ;;
    sluice) argv=("$SLUICE_BINARY" run --config "$work/sluice.yaml" --workers 1 --admin "127.0.0.1:$admin_port") ;;
  esac
}

# --- Starting and stopping --------------------------------------------------------------------------------------------

is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# start NAME CORE PORT [WRAPPER...]: returns when the port accepts.
start() {
  local name=$1 core=$2 at=$3 argv
  shift 3
  ! is_open "$at" || die "port $at is in use, $name cannot have it"
  "write_$name"
  command_of "$name"
  on "$core" "$@" "${argv[@]}" >"$work/$name.out" 2>&1 &
  pid[$name]=$!
  for _ in $(seq 300); do
    ! is_open "$at" || return 0
    kill -0 "${pid[$name]}" 2>/dev/null || break
    sleep 0.1
  done
  die "$name did not start: $(tail -n 5 "$work/$name.out" "$work/$name.log" 2>/dev/null)"
}

# tree PID: it and all that descend from it.
tree() {
  local child
  echo "$1"
  for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do tree "$child"; done
}

# stop NAME: politely, and after two seconds not; waits for the end.
stop() {
  local all
  [ -n "${pid[$1]-}" ] || return 0
  all=$(tree "${pid[$1]}")
  # shellcheck disable=SC2086
  kill -TERM $all 2>/dev/null || true
  for _ in $(seq 20); do
    # shellcheck disable=SC2086
    kill -0 $all 2>/dev/null || break
    sleep 0.1
  done
  # shellcheck disable=SC2086
  kill -KILL $all 2>/dev/null || true
  wait "${pid[$1]}" 2>/dev/null || true
  unset "pid[$1]"
}

# bounded SECONDS CORE COMMAND...: a load generator, ended by the clock; a signal to this script ends it too.
bounded() {
  local limit=$1 core=$2 status=0
  shift 2
  on "$core" timeout --kill-after=2 "$limit" "$@" &
  pid[load]=$!
  wait "${pid[load]}" || status=$?
  unset "pid[load]"
  return "$status"
}

# For `trap clean_up EXIT`, with INT, TERM and HUP turned into an exit. Nothing ends without a word.
clean_up() {
  local status=$? name
  trap '' INT TERM HUP
  [ "$status" = 0 ] || [ "$said" = 1 ] || echo "${0##*/}: ended with status $status" >&2
  for name in "${!pid[@]}"; do stop "$name"; done
  rm -rf "$work"
}

# --- Is it the same duty? ---------------------------------------------------------------------------------------------

# exchange PORT PATH: the answer as it comes, head and body.
exchange() {
  local answer
  exec 3<>"/dev/tcp/127.0.0.1/$1"
  printf 'GET %s HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n\r\n' "$2" >&3
  answer=$(timeout 5 cat <&3 | tr -d '\r')
  exec 3>&-
  printf '%s\n' "$answer"
}

# assert_duty NAME: a proxy that does less than the others is not measured.
assert_duty() {
  local name=$1 answer seen='' path bytes
  for _ in 1 2 3 4; do
    answer=$(exchange "${port[$name]}" /duty)
    grep -Eq 'for=127\.0\.0\.1 proto=http host=bench\.example id=[^ ]{16,} connection=(keep-alive)?;' <<< "$answer" ||
      die "$name does not do its duty; an endpoint saw: $answer"
    seen+=$(grep -Eo '^1809[12]' <<< "$answer")
  done
  case $seen in *18091*18092* | *18092*18091*) ;; *) die "$name uses one endpoint only: $seen" ;; esac
  for path in "${!size[@]}"; do
    answer=$(exchange "${port[$name]}" "/$path")
    bytes=$(sed '1,/^$/d' <<< "$answer" | tr -d '\n' | wc -c)
    case $answer in "HTTP/1.1 200 "*) ;; *) die "$name answers /$path with: ${answer:0:200}" ;; esac
    [ "$bytes" = "${size[$path]}" ] || die "$name answers /$path with $bytes bytes"
  done
}
declare -A size=([1k]=1024 [64k]=65536 [1m]=1048576)

# Sourced by the scripts beside it: where things lie, messages, and processes in the background.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NAME=${NAME:-default}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/bateau/cluster
STATE=${XDG_STATE_HOME:-$HOME/.local/state}/bateau/cluster/$NAME
# The name of everything that the whole machine can see: network namespaces and cgroups.
LABEL=bateau-$NAME
# Addresses in the cluster's own network namespaces. The machine has no route to them, so clusters never collide.
CONTROL_IP=10.99.0.1
WAY_OUT_DNS=10.0.2.3 # of slirp4netns, which asks the machine's own
NODE_IP_PREFIX=10.99.0.1 # node 1 is 10.99.0.11
DNS_IP=10.96.0.10

say() { echo "$*" >&2; }

fail() { # MESSAGE [HINT]
  say "error: $1"
  [ -z "${2:-}" ] || say "  hint: $2"
  exit 1
}

case $NAME in
  *[!a-z0-9-]* | -* | '') fail "'$NAME' is not a name for a cluster" "use lower-case letters, digits and hyphens" ;;
esac
[ ${#NAME} -le 40 ] || fail "the name '$NAME' has more than 40 characters" "choose a shorter one"

# The hash of everything that determines the binaries. The scripts that only start them are not part of it.
recipe_hash() {
  (
    cd "$HERE"
    export LC_ALL=C
    { uname -m && cat build.sh oci.py go/go.{mod,sum} go/*/*.go containerd/go.{mod,sum}; } | sha256sum | cut -c1-16
  )
}

BIN=$CACHE/$(recipe_hash)

# The version of a module. go.mod is the only file that has it.
module_version() { # FOLDER MODULE
  awk -v module="$2" '$1 == module && $2 ~ /^v[1-9]/ { print $2; exit }' "$HERE/$1/go.mod"
}

# Until the descriptor is closed, no other start or stop of this cluster runs.
lock() {
  mkdir -p "${STATE%/*}"
  exec 9>"$STATE.lock"
  flock --nonblock 9 || fail "another start or stop of the cluster '$NAME' is running" "wait for it, or choose another name"
}

kubectl() { "$BIN/kubectl" --kubeconfig="$STATE/kubeconfig" "$@"; }

start() { # NAME COMMAND...: in the background, in a session of its own; the log and the identity lie in STATE
  local name=$1
  shift
  mkdir -p "$STATE/pids" "$STATE/logs"
  # A shell starts a background process with SIGINT ignored, and may ignore other signals that it cannot reset itself;
  # every process below it, so every container, would inherit that. Descriptor 9 is the lock of the start, which must
  # not outlive it.
  (exec env --default-signal setsid "$@") >"$STATE/logs/$name.log" 2>&1 </dev/null 9>&- &
  echo "$! $(identity $!)" >"$STATE/pids/$name"
  disown # else the shell reports its end
}

# The same, in a network namespace, if there is one of that name.
start_in() { # NAMESPACE NAME COMMAND...
  local namespace=$1 name=$2
  shift 2
  if [ -e "/run/netns/$namespace" ]; then set -- nsenter --net="/run/netns/$namespace" "$@"; fi
  start "$name" "$@"
}

# Print the start time of a process, in ticks since the boot, and the boot. A pid alone may be another program's by now.
# Print nothing if there is no such process, or if it has exited.
identity() { # PID
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  read -ra fields <<<"${stat##*) }"
  [ "${fields[0]}" = Z ] || echo "${fields[19]} $(cat /proc/sys/kernel/random/boot_id)"
}

running() { # NAME
  local pid expected
  read -r pid expected 2>/dev/null <"$STATE/pids/$1" || return 1
  [ -n "$expected" ] && [ "$(identity "$pid")" = "$expected" ]
}

started() { # the names of all processes that were started, running or not
  [ ! -d "$STATE/pids" ] || ls "$STATE/pids"
}

# Repeat a command until it succeeds. If the process NAME ends, or after SECONDS, show the end of its log and fail.
until_ok() { # SECONDS NAME COMMAND...
  local seconds=$1 name=$2 end=$((SECONDS + $1)) reason=
  shift 2
  until "$@" >/dev/null 2>&1; do
    running "$name" || reason="$name has exited"
    [ $SECONDS -lt $end ] || reason="$name is not ready after $seconds s"
    if [ -n "$reason" ]; then
      say "error: $reason; the end of $STATE/logs/$name.log:"
      tail -n 8 "$STATE/logs/$name.log" >&2 || true
      return 1
    fi
    sleep 0.3
  done
}

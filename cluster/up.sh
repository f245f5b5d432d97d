#!/usr/bin/env bash
# up.sh [--nodes N] [--strict]: starts the cluster NAME and prints the path of its kubeconfig; everything else is on stderr.
# N is 1 by default. With 0, or where the machine cannot run a node, the control plane starts alone; --strict makes an
# error of the latter. If KUBECONFIG is set, the cluster that it names is used, and nothing is started. Ctrl-C and any
# failure remove everything that was started.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

nodes=1 asked='' strict=
while [ $# -gt 0 ]; do
  case $1 in
    --nodes) nodes=$2 asked=$2 && shift ;;
    --strict) strict=yes ;;
    *) fail "'$1' is not an option of up.sh" "use --nodes N or --strict" ;;
  esac
  shift
done
[[ $nodes =~ ^[0-9]$ ]] || fail "'$nodes' is not a number of nodes" "0 to 9 nodes are possible"

use_existing() {
  local text path found=
  for path in ${KUBECONFIG//:/ }; do [ ! -e "$path" ] || found=yes; done
  # kubectl itself would ask localhost:8080.
  [ -n "$found" ] || fail "no file exists at KUBECONFIG=$KUBECONFIG" "unset KUBECONFIG to start a cluster"
  command -v kubectl >/dev/null || fail "kubectl is not installed, and KUBECONFIG is set" "unset KUBECONFIG to start a cluster"
  text=$(command kubectl --request-timeout=10s get --raw=/readyz 2>&1) ||
    fail "the cluster of KUBECONFIG=$KUBECONFIG does not answer: ${text##*$'\n'}" "unset KUBECONFIG to start one"
  say "using the cluster of KUBECONFIG; nothing is started"
  echo "$KUBECONFIG"
}

# Print why this machine cannot run a node, or nothing. A throw-away set of namespaces gets what a node needs.
obstacle() {
  local folder made=
  [ "$(id -u)" = 0 ] || { echo "it needs root"; return; }
  # shellcheck disable=SC2016 # the inner shell expands it
  unshare --mount --pid --net --uts --ipc --fork sh -c \
    'mount -t tmpfs tmpfs /mnt && ip link add bridge0 type bridge && ip link add veth0 type veth peer name veth1' 2>/dev/null ||
    { echo "namespaces, mounts or network interfaces cannot be made here"; return; }
  for folder in /sys/fs/cgroup /sys/fs/cgroup/memory; do
    if [ -e "$folder/cgroup.procs" ] && mkdir -p "$folder/$LABEL" 2>/dev/null; then made=yes && rmdir "$folder/$LABEL"; fi
  done
  [ -n "$made" ] || echo "cgroups cannot be made below /sys/fs/cgroup"
}

require_packages() { # PROGRAM=PACKAGE...
  local each missing=()
  for each; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${each%%=*}" >/dev/null || missing+=("${each#*=}")
  done
  [ ${#missing[@]} = 0 ] || fail "programs are missing: ${missing[*]}" "apt-get install --no-install-recommends ${missing[*]}"
}

free_ports() { # COUNT: all of them at once, so they differ
  python3 -c "
import socket
taken = [socket.create_server(('127.0.0.1', 0)) for _ in range($1)]
print(*(each.getsockname()[1] for each in taken))"
}

start_alone() {
  read -r API_PORT ETCD_PORT ETCD_PEER_PORT CONTROLLER_MANAGER_PORT SCHEDULER_PORT <<<"$(free_ports 5)"
  export API_IP=127.0.0.1 API_PORT ETCD_PORT ETCD_PEER_PORT CONTROLLER_MANAGER_PORT SCHEDULER_PORT
  "$HERE/pki.sh" "https://127.0.0.1:$API_PORT" "https://127.0.0.1:$API_PORT"
  say "starting the control plane"
  "$HERE/control.sh"
}

start_with_nodes() {
  local i port identities=()
  port=$(free_ports 1)
  for i in $(seq "$nodes"); do identities+=("node$i=$NODE_IP_PREFIX$i"); done
  export API_IP=$CONTROL_IP API_PORT=6443 ETCD_PORT=2379 ETCD_PEER_PORT=2380 CONTROLLER_MANAGER_PORT=10257 SCHEDULER_PORT=10259
  "$HERE/pki.sh" "https://$CONTROL_IP:$API_PORT" "https://127.0.0.1:$port" "${identities[@]}"
  # The control plane and the bridge between the nodes have a network namespace. Services are reached from it by way of
  # the kube-proxy of the first node.
  ip netns add "$LABEL"
  ip -n "$LABEL" link set lo up
  ip -n "$LABEL" link add nodes0 type bridge
  ip -n "$LABEL" address add "$CONTROL_IP/24" dev nodes0
  ip -n "$LABEL" link set nodes0 up
  ip -n "$LABEL" route add 10.96.0.0/16 via "${NODE_IP_PREFIX}1"
  ip netns exec "$LABEL" sysctl -qw net.ipv4.ip_forward=1
  [ -n "$strict" ] || open_way_out
  start relay "$BIN/relay" "127.0.0.1:$port" "/run/netns/$LABEL" "$CONTROL_IP:$API_PORT"
  say "starting the control plane"
  "$HERE/control.sh"
  kubectl apply --server-side --filename="$HERE/manifests" >/dev/null
  for i in $(seq "$nodes"); do
    say "starting node$i"
    "$HERE/node.sh" "$i"
  done
  for i in $(seq "$nodes"); do
    until_ok 120 "node$i" kubectl wait node "node$i" --for=condition=Ready --timeout=2s
  done
  until_ok 120 node1 kubectl --namespace=kube-system wait pod --selector=k8s-app=kube-dns --for=condition=Ready --timeout=2s
}

# Pods and nodes reach what this machine reaches, by a network in user space: the machine gets no interface and no rule. Its
# loopback addresses stay closed to them. Tests do without it, so that they pass on a machine without a network.
open_way_out() {
  if ! command -v slirp4netns >/dev/null; then
    say "warning: slirp4netns is not installed, so pods reach nothing outside of the cluster"
    return
  fi
  start way-out slirp4netns --configure --disable-host-loopback --netns-type=path "/run/netns/$LABEL" tap0
  until_ok 10 way-out ip -n "$LABEL" route get "$WAY_OUT_DNS"
  ip netns exec "$LABEL" nft -f - <<'END'
table ip way-out {
  chain postrouting { type nat hook postrouting priority srcnat; oifname "tap0" masquerade; }
}
END
}

remove_unless_ready() {
  local code=$?
  trap '' INT TERM
  if [ $code != 0 ]; then
    say "removing everything that was started; the logs are in $STATE/logs"
    LOCKED=yes "$HERE/down.sh" --keep-logs
  fi
}

main() {
  local reason='' name dead=()
  if [ -n "${KUBECONFIG:-}" ]; then
    use_existing
    return
  fi
  case $STATE in
    /run/* | /var/lib/* | /var/log/*) fail "the state of the cluster cannot lie in $STATE: a node has a folder of its own there" \
      "set XDG_STATE_HOME to another one" ;;
  esac
  lock
  for name in $(started); do running "$name" || dead+=("$name"); done
  if [ -n "$(started)" ] && [ ${#dead[@]} = 0 ]; then
    local have
    have=$(started | grep -c '^node' || true)
    # One that was started where no node can run has none, whatever was asked for.
    [ -z "$asked" ] || [ "$asked" = "$have" ] || [ "$have" = 0 ] ||
      fail "the cluster '$NAME' is running with $have of $asked nodes" "run \`bateau dev cluster down\` first"
    say "the cluster is running already"
    echo "$STATE/kubeconfig"
    return
  fi
  if [ -n "$(started)" ]; then
    say "removing a cluster of which these processes have ended: ${dead[*]}"
    LOCKED=yes "$HERE/down.sh"
  fi
  mkdir -p "$STATE"
  chmod 700 "$STATE"
  require_packages openssl=openssl python3=python3
  [ "$nodes" = 0 ] || reason=$(obstacle)
  [ -z "$reason" ] || [ -z "$strict" ] || fail "this machine cannot run a node: $reason"
  if [ -n "$reason" ]; then
    say "warning: no node is started: $reason. The control plane starts alone, and pods stay Pending."
    nodes=0
  fi
  trap remove_unless_ready EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  if [ "$nodes" = 0 ]; then
    "$HERE/build.sh" kube >/dev/null
    start_alone
  else
    require_packages ip=iproute2 nsenter=util-linux runc=runc nft=nftables iptables=iptables ipset=ipset \
      /usr/lib/cni/bridge=containernetworking-plugins
    "$HERE/build.sh" >/dev/null
    start_with_nodes
  fi
  say "ready after $SECONDS s; kubectl is $BIN/kubectl"
  echo "$STATE/kubeconfig"
}

main

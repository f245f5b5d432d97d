#!/usr/bin/env bash
# node-init.sh NODE IP: process 1 of a node, run by node.sh in the node's namespaces.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

name=$1 ip=$2
folder=$STATE/nodes/$name
export PATH=$BIN:$PATH:/usr/sbin:/sbin CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1

# The node's cgroups: `system` for its own processes and, made by the kubelet, `kubepods` beside it. With version 1 there is
# one hierarchy per controller, and a new cpuset takes no process until it has CPUs and memory nodes. With version 2,
# controllers must be enabled on each level.
join_cgroups() {
  local top each
  for top in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ -e "$top/cgroup.procs" ] || continue
    for each in "$LABEL" "$LABEL/$name" "$LABEL/$name/system"; do
      mkdir -p "$top/$each"
      if [ -e "$top/cpuset.mems" ]; then
        cat "$top/cpuset.cpus" >"$top/$each/cpuset.cpus"
        cat "$top/cpuset.mems" >"$top/$each/cpuset.mems"
      fi
    done
    for each in . "$LABEL" "$LABEL/$name"; do
      if [ -s "$top/$each/cgroup.controllers" ]; then
        sed 's/[a-z]\+/+&/g' "$top/$each/cgroup.controllers" >"$top/$each/cgroup.subtree_control"
      fi
    done
    echo $$ >"$top/$LABEL/$name/system/cgroup.procs"
  done
}

# A kubelet sets sysctls that belong to the whole machine. It gets ordinary files in their place, so no value of the machine
# changes, and none has to be restored.
shield_sysctls() {
  local each
  for each in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
    mkdir -p "/run/sysctls/${each%/*}"
    cat "/proc/sys/$each" >"/run/sysctls/$each"
    mount --bind "/run/sysctls/$each" "/proc/sys/$each"
  done
}

# containerd pulls images by the way out of the cluster. On many machines the file is a link into /run.
use_name_servers() {
  local file
  file=$(readlink --canonicalize-missing /etc/resolv.conf)
  case $file in /run/*) mkdir -p "${file%/*}" && touch "$file" ;; esac
  [ ! -e "$file" ] || mount --bind "$folder/resolv.conf" "$file"
}

declare -A programs # by their pids

run() { # PROGRAM ARG...: in the background; its log is beside the others
  (trap - INT QUIT && exec "$@") >"$folder/log/$1.log" 2>&1 </dev/null &
  programs[$!]=$1
}

# The first program that exits ends the node, so a fault is visible at once.
check_programs() {
  local pid name
  for pid in "${!programs[@]}"; do
    name=${programs[$pid]}
    kill -0 "$pid" 2>/dev/null || { tail -n 8 "$folder/log/$name.log" && echo "$name has exited" && exit 1; }
  done
}

join_cgroups
echo "$name" >/proc/sys/kernel/hostname
# The node has its own /run, /var/log and /var/lib. The mounts go with its last process.
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib
shield_sysctls
use_name_servers
mkdir -p /var/lib/kubelet /var/lib/containerd
mount --bind "$folder/log" /var/log
mount --bind "$folder/kubelet" /var/lib/kubelet
mount --bind "$folder/containerd" /var/lib/containerd

run containerd --config "$folder/containerd.toml"
until [ -S /run/containerd/containerd.sock ]; do check_programs && sleep 0.1; done
for image in "$BIN"/images/*.tar; do
  ctr --namespace=k8s.io images import --no-unpack --local "$image"
done
touch "$folder/imported"

# shellcheck disable=SC2086 # KUBELET_ARGS is a list of words
run kubelet --config="$folder/kubelet.yaml" --kubeconfig="$STATE/pki/$name.kubeconfig" --hostname-override="$name" \
  --node-ip="$ip" --v=2 ${KUBELET_ARGS:-}
run kube-proxy --config="$folder/kube-proxy.yaml"
# kube-router exits if there is no object for its node.
until kubectl --kubeconfig="$STATE/pki/$name.kubeconfig" get node "$name" >/dev/null 2>&1; do check_programs && sleep 0.5; done
run kube-router --run-firewall=true --run-router=false --run-service-proxy=false --hostname-override="$name" \
  --kubeconfig="$STATE/pki/kube-router.kubeconfig"

# `wait` returns when a program exits. Orphans of pods are reaped by the shell on its own.
while :; do
  check_programs
  wait -n || true
done

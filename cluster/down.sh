#!/usr/bin/env bash
# down.sh [--keep-logs]: ends every process of the cluster NAME and removes its namespaces, its cgroups and its state. The
# mounts of a node are in a mount namespace of its own and go with its last process. The machine's sysctls were never
# changed. It can be repeated, and it completes a start that was interrupted anywhere.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

stop_processes() {
  local name pid _ deadline=$((SECONDS + 30))
  # SIGKILL, and all at once: the state is removed anyway, and an API server takes seconds to end by itself. A node is a
  # process namespace: the end of its first process ends every other one.
  for name in $(started); do
    if running "$name"; then
      read -r pid _ <"$STATE/pids/$name"
      kill -KILL "$pid"
    fi
  done
  for name in $(started); do
    while running "$name"; do
      [ $SECONDS -lt $deadline ] || fail "$name does not end" "see \`ps\` for a process in the state D"
      sleep 0.05
    done
  done
}

remove_cgroups() {
  local _ tops
  for _ in $(seq 100); do
    # Below each hierarchy with version 1, or the only one with version 2. The processes of a node are in them, and end a
    # moment after its first one; a cgroup with a process cannot be removed.
    tops=$(find /sys/fs/cgroup -maxdepth 2 -type d -name "$LABEL")
    [ -n "$tops" ] || return 0
    # shellcheck disable=SC2086
    find $tops -depth -type d -exec rmdir {} + 2>/dev/null || true
    sleep 0.1
  done
  say "warning: a process remains in a cgroup: see" $tops
}

# Keep the logs of a start that failed, and nothing else.
remove_state() {
  local node
  for node in "$STATE"/nodes/*/; do
    if [ "$1" = --keep-logs ] && [ -d "$node/log" ]; then mv "$node/log" "$STATE/logs/$(basename "$node")"; fi
  done
  if [ "$1" = --keep-logs ]; then
    find "$STATE" -mindepth 1 -maxdepth 1 ! -name logs -exec rm -rf {} +
  else
    rm -rf "$STATE" "$STATE.lock"
  fi
}

[ -n "${LOCKED:-}" ] || lock
stop_processes
if [ "$(id -u)" = 0 ]; then
  for namespace in /run/netns/"$LABEL" /run/netns/"$LABEL".*; do
    [ ! -e "$namespace" ] || ip netns delete "${namespace##*/}"
  done
  # The first `ip netns add` of a machine mounts the folder on itself. With a namespace in it, neither command succeeds.
  if [ -d /run/netns ]; then umount /run/netns 2>/dev/null && rmdir /run/netns 2>/dev/null || true; fi
  remove_cgroups
fi
remove_state "${1:-}"
say "the cluster '$NAME' is down"

#!/usr/bin/env bash
# load.sh ARCHIVE...: imports image archives into every node of the cluster NAME.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

nodes=$(started | grep '^node' || true)
[ -n "$nodes" ] || fail "the cluster '$NAME' has no node" "run \`bateau dev cluster up\` first"
for node in $nodes; do
  running "$node" || fail "$node has exited; see $STATE/logs/$node.log" "run \`bateau dev cluster up\` again"
  read -r pid _ <"$STATE/pids/$node"
  # The process that was started waits outside; its child is process 1 of the node.
  init=$(cat "/proc/$pid/task/$pid/children")
  for archive; do
    say "importing ${archive##*/} into $node"
    nsenter --target "${init% }" --mount --net --pid --uts --ipc env CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1 "$BIN/ctr" --namespace=k8s.io images import --local "$archive" >&2
  done
done

#!/usr/bin/env bash
# build.sh [PART...]: builds the parts that the cache does not have yet, by default all of them:
#   kube         Kubernetes and etcd: 2,900 packages, 11 minutes on two free cores the first time, and 3.5 GB of memory
#   containerd   containerd, its shim, and ctr
#   coredns, kube-router
#   tools        relay, pause and web (go/)
#   images       archives of the images that every node needs: pause, web, CoreDNS
# With --missing first, it builds nothing and prints the parts that are not built yet.
# It prints the folder of the cache. Its name is a hash of the recipe: a change of the recipe builds into a new folder,
# and Go's own build cache keeps that quick.
#
# go/go.mod contains kube, CoreDNS and kube-router, so that they share the packages of Kubernetes. A version of CoreDNS or
# kube-router that raises one of Kubernetes' versions compiles client-go once more.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

KEPT_DAYS=14

go_program() { # FOLDER OUTPUT PACKAGE [FLAG...]
  local folder=$1 output=$2 package=$3
  shift 3
  say "building $output"
  if ! (cd "$HERE/$folder" && GOWORK=off CGO_ENABLED=0 nice "$go" build -v -buildvcs=false -trimpath -mod=readonly \
    -p "${JOBS:-$(nproc)}" -o "$BIN/.$output.$$" "$@" "$package") 2>&1 | progress "$output"; then
    tail -n 15 "$BIN/.log.$$" >&2
    rm -f "$BIN/.log.$$"
    fail "$output does not build" "the compiler's messages are above; a full disk and too little memory are common causes"
  fi
  mv "$BIN/.$output.$$" "$BIN/$output"
  rm -f "$BIN/.log.$$"
}

# Go prints a line for each package that it compiles. A terminal shows a count of them, a log one line in 500.
progress() { # NAME
  local count=0 line
  : >"$BIN/.log.$$"
  while IFS= read -r line; do
    echo "$line" >>"$BIN/.log.$$"
    count=$((count + 1))
    if [ -t 2 ]; then printf '\r  %s: %d packages ' "$1" $count >&2; elif [ $((count % 500)) = 0 ]; then say "  $1: $count packages"; fi
  done
  [ ! -t 2 ] || printf '\r\033[K' >&2
}

build_kube() {
  local version package flags='-s -w' name
  version=$(module_version go k8s.io/kubernetes)
  IFS=. read -r _ minor _ <<<"$version"
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor -X $package.gitTreeState=clean"
  done
  go_program go kube ./kube -ldflags "$flags"
  for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    ln -sf kube "$BIN/$name"
  done
}

build_containerd() {
  local module=github.com/containerd/containerd/v2 name
  for name in ctr containerd-shim-runc-v2 containerd; do
    go_program containerd "$name" "$module/cmd/$name" -tags no_btrfs,no_devmapper,no_zfs,no_aufs \
      -ldflags "-s -w -X $module/version.Version=$(module_version containerd $module)"
  done
}

build_coredns() { go_program go coredns github.com/coredns/coredns -ldflags '-s -w'; }
build_kube-router() { go_program go kube-router github.com/cloudnativelabs/kube-router/v2/cmd/kube-router -ldflags '-s -w'; }

build_tools() {
  local name
  for name in relay web pause; do go_program go "$name" "./$name" -ldflags '-s -w'; done
}

build_images() {
  local work name
  work=$(mktemp -d)
  mkdir -p "$BIN/images"
  for name in pause web coredns; do
    mkdir "$work/$name"
    cp "$BIN/$name" "$work/$name/$name"
    python3 "$HERE/oci.py" "$BIN/images/$name.tar" "bateau.dev/cluster/$name:1" --entrypoint "/$name" "$work/$name"
  done
  rm -rf "$work"
}

# PART: the file that is made last, so its presence means that the part is whole.
last_file() {
  case $1 in
    kube) echo kubectl ;;
    containerd | coredns | kube-router) echo "$1" ;;
    tools) echo pause ;;
    images) echo images/coredns.tar ;;
    *) fail "'$1' is not a part of the cluster" "the parts are kube, containerd, coredns, kube-router, tools and images" ;;
  esac
}

main() {
  local missing=() part file only_list=
  [ "${1:-}" != --missing ] || { only_list=yes && shift; }
  [ $# -gt 0 ] || set -- kube containerd coredns kube-router tools images
  for part; do
    file=$(last_file "$part")
    [ -e "$BIN/$file" ] || missing+=("$part")
  done
  if [ -n "$only_list" ]; then
    echo "${missing[*]}"
    return
  fi
  mkdir -p "$BIN"
  touch "$BIN"
  if [ ${#missing[@]} -gt 0 ]; then
    go=$(command -v go || true)
    [ -n "$go" ] || [ ! -x /usr/local/go/bin/go ] || go=/usr/local/go/bin/go
    [ -n "$go" ] || fail "Go is not installed, and the cluster's programs are not built yet" \
      "install Go $(awk '$1 == "go" { print $2 }' "$HERE/go/go.mod") or later from https://go.dev/dl"
    exec 9>"$CACHE/.lock"
    flock --nonblock 9 || { say "waiting for another build" && flock 9; }
    for part in "${missing[@]}"; do
      # Another build may have made it in the meantime.
      [ -e "$BIN/$(last_file "$part")" ] || "build_$part"
    done
    find "$CACHE" -mindepth 1 -maxdepth 1 -type d -mtime +$KEPT_DAYS -exec rm -rf {} +
  fi
  echo "$BIN"
}

# Leaves no half-made file behind, also after Ctrl-C.
trap 'rm -f "$BIN"/.*.$$' EXIT
main "$@"

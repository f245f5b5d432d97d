#!/usr/bin/env bash
# node.sh INDEX: starts a node in namespaces of its own: network, mounts, processes, host name and IPC. The end of one process
# ends all of it. KUBELET_ARGS is added to the kubelet's arguments.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

index=$1 name=node$1 ip=$NODE_IP_PREFIX$1 namespace=$LABEL.node$1
folder=$STATE/nodes/$name
mkdir -p "$folder"/{kubelet,containerd,log,cni,registries,plugins}

# A veth to the bridge of the control plane, made inside the namespaces: the machine never has an interface more. Each
# node gets a route to the pods of this one from the bridge.
ip netns add "$namespace"
ip -n "$LABEL" link add "$name" type veth peer name eth0 netns "$namespace"
ip -n "$LABEL" link set "$name" master nodes0 up
ip -n "$namespace" link set lo up
ip -n "$namespace" address add "$ip/24" dev eth0
ip -n "$namespace" link set eth0 up
ip -n "$namespace" route add default via "$CONTROL_IP"
ip -n "$LABEL" route add "10.244.$index.0/24" via "$ip"
ip netns exec "$namespace" sysctl -qw net.ipv4.ip_forward=1
# Without it, packets between two pods of one node pass the bridge and no rule.
ip netns exec "$namespace" sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null ||
  say "warning: the kernel module br_netfilter is not loaded, so no NetworkPolicy is enforced between pods of one node"

cat >"$folder/cni/10-bridge.conflist" <<END
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "10.244.$index.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END

# restrict_oom_score_adj: a sandbox wants -998, and without CAP_SYS_RESOURCE nobody may lower the value.
cat >"$folder/containerd.toml" <<END
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "bateau.dev/cluster/pause:1"
[plugins."io.containerd.cri.v1.images".registry]
config_path = "$folder/registries"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "$folder/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "$(command -v runc || echo /usr/sbin/runc)"
SystemdCgroup = false
END

# failCgroupV1: a machine with cgroups of version 1 can run a node, too.
# imageGCHighThresholdPercent: imported images cannot be pulled again, so a full disk must not remove them.
# imagePullCredentialsVerificationPolicy: else an imported image whose layers were also pulled under another name must be
# pulled, with credentials, and the pod ends in ErrImagePull.
echo "nameserver $WAY_OUT_DNS" >"$folder/resolv.conf"
cat >"$folder/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $ip
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $STATE/pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $STATE/pki/$name.crt
tlsPrivateKeyFile: $STATE/pki/$name.key
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$LABEL/$name
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
resolvConf: $folder/resolv.conf
volumePluginDir: $folder/plugins
imageGCHighThresholdPercent: 100
imagePullCredentialsVerificationPolicy: NeverVerify
evictionHard: {memory.available: 100Mi, nodefs.available: 1Gi, imagefs.available: 1Gi}
failSwapOn: false
nodeStatusUpdateFrequency: 5s
shutdownGracePeriod: 0s
END

# The conntrack settings are of the whole machine: 0 leaves them.
cat >"$folder/kube-proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $STATE/pki/kube-proxy.kubeconfig}
clusterCIDR: 10.244.0.0/16
detectLocalMode: ClusterCIDR
hostnameOverride: $name
bindAddress: $ip
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
nodePortAddresses: [$ip/32]
END

export NAME
start_in "$namespace" "$name" unshare --mount --propagation private --pid --uts --ipc --fork --kill-child --mount-proc \
  "$HERE/node-init.sh" "$name" "$ip"
until_ok 120 "$name" test -e "$folder/imported"

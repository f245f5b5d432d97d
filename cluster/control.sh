#!/usr/bin/env bash
# control.sh: starts etcd, the API server, the controller manager and the scheduler; returns when pods can be created.
# up.sh exports API_IP and the ports. API_SERVER_ARGS, CONTROLLER_MANAGER_ARGS and SCHEDULER_ARGS are added to the
# components' arguments: an audit policy, for example.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

pki=$STATE/pki
services=10.96.0.0/16
etcd=http://127.0.0.1:$ETCD_PORT etcd_peer=http://127.0.0.1:$ETCD_PEER_PORT

# --unsafe-no-fsync: a development cluster has nothing to lose in a power cut.
start_in "$LABEL" etcd "$BIN/etcd" --name=default --data-dir="$STATE/etcd" --unsafe-no-fsync --log-level=warn \
  --listen-client-urls="$etcd" --advertise-client-urls="$etcd" \
  --listen-peer-urls="$etcd_peer" --initial-advertise-peer-urls="$etcd_peer" --initial-cluster="default=$etcd_peer"

# The endpoint of the Service `kubernetes` cannot be a loopback address: the API server exits. Without nodes, no pod needs it.
case $API_IP in 127.*) reconciler=none ;; *) reconciler=lease ;; esac
# shellcheck disable=SC2086 # API_SERVER_ARGS is a list of words
start_in "$LABEL" kube-apiserver "$BIN/kube-apiserver" --etcd-servers="$etcd" --endpoint-reconciler-type=$reconciler \
  --bind-address="$API_IP" --advertise-address="$API_IP" --secure-port="$API_PORT" --service-cluster-ip-range=$services \
  --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
  --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
  --kubelet-client-certificate="$pki/apiserver-kubelet-client.crt" \
  --kubelet-client-key="$pki/apiserver-kubelet-client.key" \
  --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
  --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
  --requestheader-username-headers=X-Remote-User --enable-aggregator-routing=true \
  --proxy-client-cert-file="$pki/front-proxy-client.crt" --proxy-client-key-file="$pki/front-proxy-client.key" \
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$pki/service-accounts.pub" \
  --service-account-signing-key-file="$pki/service-accounts.key" \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --anonymous-auth=false \
  --allow-privileged=true --profiling=false ${API_SERVER_ARGS:-}
until_ok 120 kube-apiserver kubectl get --raw=/readyz

component() { # NAME ARG...: with what the controller manager and the scheduler have in common
  local name=$1
  shift
  start_in "$LABEL" "$name" "$BIN/$name" --kubeconfig="$pki/$name.kubeconfig" \
    --authentication-kubeconfig="$pki/$name.kubeconfig" --authorization-kubeconfig="$pki/$name.kubeconfig" \
    --tls-cert-file="$pki/$name.crt" --tls-private-key-file="$pki/$name.key" --client-ca-file="$pki/ca.crt" \
    --requestheader-client-ca-file="$pki/front-proxy-ca.crt" \
    --bind-address=127.0.0.1 --leader-elect=false --profiling=false "$@"
}

# The default limit of 20 requests per second makes rollouts of many pods wait for the client, not for the cluster.
# shellcheck disable=SC2086
component kube-controller-manager --secure-port="$CONTROLLER_MANAGER_PORT" --use-service-account-credentials=true \
  --root-ca-file="$pki/ca.crt" --service-account-private-key-file="$pki/service-accounts.key" \
  --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
  --cluster-cidr=10.244.0.0/16 --service-cluster-ip-range=$services --allocate-node-cidrs=true --controllers='*' \
  --kube-api-qps=100 --kube-api-burst=200 ${CONTROLLER_MANAGER_ARGS:-}
# shellcheck disable=SC2086
component kube-scheduler --secure-port="$SCHEDULER_PORT" ${SCHEDULER_ARGS:-}
# The controller manager creates it once its controllers run. Pods cannot be created before.
until_ok 120 kube-controller-manager kubectl --namespace=default get serviceaccount default

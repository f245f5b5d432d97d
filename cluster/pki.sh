#!/usr/bin/env bash
# pki.sh URL ADMIN_URL NODE=IP...: makes the cluster's certificates and kubeconfigs in STATE/pki, and the administrator's
# kubeconfig in STATE/kubeconfig. URL is that of the API server for the cluster's own components. All certificates are
# ECDSA and end after a year; `up` makes new ones each time.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

server=$1 admin_server=$2
shift 2
mkdir -p "$STATE/pki"
cd "$STATE/pki"
umask 077

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

authority() { # FILE COMMON_NAME
  key "$1"
  openssl req -x509 -new -key "$1.key" -days 365 -subj "/CN=$2" -out "$1.crt" \
    -addext keyUsage=critical,digitalSignature,keyCertSign,cRLSign
}

certificate() { # FILE AUTHORITY SUBJECT [ALTERNATIVE_NAMES]
  key "$1"
  {
    echo keyUsage=critical,digitalSignature,keyEncipherment
    echo extendedKeyUsage=clientAuth,serverAuth
    [ -z "${4:-}" ] || echo "subjectAltName=$4"
  } >"$1.ext"
  openssl req -new -key "$1.key" -subj "$3" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -set_serial "0x$(openssl rand -hex 8)" -days 365 \
    -extfile "$1.ext" -out "$1.crt"
  rm "$1.csr" "$1.ext"
}

kubeconfig() { # NAME [URL]: for the certificate of that name
  cat >"$1.kubeconfig" <<END
apiVersion: v1
kind: Config
clusters: [{name: $LABEL, cluster: {server: "${2:-$server}", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}]
contexts: [{name: $LABEL, context: {cluster: $LABEL, user: $1}}]
current-context: $LABEL
END
}

make() {
  local names name node
  authority ca kubernetes
  authority front-proxy-ca front-proxy
  certificate front-proxy-client front-proxy-ca /CN=front-proxy-client
  names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc
  names+=,DNS:kubernetes.default.svc.cluster.local,IP:10.96.0.1,IP:127.0.0.1,IP:$CONTROL_IP
  certificate apiserver ca /CN=kube-apiserver "$names"
  certificate apiserver-kubelet-client ca /O=system:masters/CN=kube-apiserver-kubelet-client
  certificate admin ca /O=system:masters/CN=admin
  kubeconfig admin "$admin_server"
  mv admin.kubeconfig ../kubeconfig
  for name in kube-controller-manager kube-scheduler kube-proxy kube-router; do
    certificate $name ca "/CN=system:$name" DNS:localhost,IP:127.0.0.1
    kubeconfig $name
  done
  for node; do
    name=${node%%=*}
    certificate "$name" ca "/O=system:nodes/CN=system:node:$name" "DNS:$name,IP:${node#*=}"
    kubeconfig "$name"
  done
  key service-accounts
  openssl ec -in service-accounts.key -pubout -out service-accounts.pub
}

# openssl reports its progress on stderr, so it is shown only if something fails. `make || ...` would switch `set -e` off.
trap '[ $? = 0 ] || cat openssl.log >&2; rm -f openssl.log' EXIT
make "$@" 2>openssl.log

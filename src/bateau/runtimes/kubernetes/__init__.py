"""The runtime of a Kubernetes cluster: replicas as pods."""

from bateau.runtimes.kubernetes.api import ApiServer
from bateau.runtimes.kubernetes.kubeconfig import Access, access_in_pod, access_of, kubeconfig_files
from bateau.runtimes.kubernetes.runtime import KubernetesRuntime

__all__ = ["Access", "ApiServer", "KubernetesRuntime", "access_in_pod", "access_of", "kubeconfig_files"]

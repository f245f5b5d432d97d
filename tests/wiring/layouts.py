"""Repositories in the shapes of public ones: the kustomize and Helm example of Flux, and the example apps of Argo CD.

Each has everything that such a repository has beside its manifests: CI workflows, Helm templates, a README, files of
other tools.
"""

from collections.abc import Mapping

WORKLOAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: %(name)s}
spec:
  replicas: 1
  revisionHistoryLimit: 3
  selector: {matchLabels: {app: %(name)s}}
  template:
    metadata: {labels: {app: %(name)s}}
    spec:
      containers:
        - name: %(name)s
          image: %(image)s
          ports: [{containerPort: 80}]
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: %(name)s}
spec: {ports: [{port: 80, targetPort: 80}], selector: {app: %(name)s}}
"""
CHART = "apiVersion: v2\nname: %s\ndescription: A Helm chart\ntype: application\nversion: 0.1.0\nappVersion: '1.0'\n"
HELPERS = """\
{{/* Expand the name of the chart. */}}
{{- define "name" -}}{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}{{- end }}
"""
TEMPLATE = """\
{{- if .Values.enabled }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ template "name" . }}
  labels: {chart: "{{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}"}
spec:
  replicas: {{ .Values.replicaCount }}
  selector: {matchLabels: {app: {{ template "name" . }}}}
  template:
    metadata: {labels: {app: {{ template "name" . }}}}
    spec:
      containers:
        - name: {{ .Chart.Name }}
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
          resources:
{{ toYaml .Values.resources | indent 12 }}
{{- end }}
"""
VALUES = "enabled: true\nreplicaCount: 1\nimage: {repository: registry.example.org/guestbook, tag: v5}\nresources: {}\n"


def app(name: str, spec: str) -> str:
    return f"apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"


ENVIRONMENT = "apiVersion: bateau.dev/v1alpha1\nkind: Environment\nmetadata: {name: %s}\n"
RELEASE = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: podinfo, namespace: podinfo}
spec:
  releaseName: podinfo
  chart:
    spec: {chart: podinfo, sourceRef: {kind: HelmRepository, name: podinfo, namespace: flux-system}}
  interval: 50m
  values: {redis: {enabled: true}, ingress: {enabled: true, className: nginx}}
"""
SYNC = """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: %(name)s, namespace: flux-system}
spec:
  interval: 10m0s
  sourceRef: {kind: GitRepository, name: flux-system}
  path: ./%(path)s
  prune: true
"""


def _flux() -> Mapping[str, str]:
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {toolkit.fluxcd.io/tenant: sre-team}}\n"
    repository = (
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: %s, namespace: %s}\n"
        "spec: {interval: 24h, url: 'https://charts.example.org'}\n"
    )
    files = {
        ".github/workflows/test.yaml": "name: test\non: {pull_request: , push: {branches: ['*']}}\njobs: {}\n",
        ".sourceignore": "*\n!/apps/\n!/clusters/\n!/infrastructure/\n",
        "scripts/validate.sh": "#!/usr/bin/env bash\nset -o errexit\n",
        "README.md": "# flux2-kustomize-helm-example\n",
        "apps/base/podinfo/kustomization.yaml":
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: podinfo\n"
            "resources: [namespace.yaml, repository.yaml, release.yaml]\n",
        "apps/base/podinfo/namespace.yaml": namespace % "podinfo",
        "apps/base/podinfo/repository.yaml": repository % ("podinfo", "podinfo"),
        "apps/base/podinfo/release.yaml": RELEASE,
        "infrastructure/controllers/kustomization.yaml":
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
            "resources: [cert-manager.yaml, ingress-nginx.yaml]\n",
        "infrastructure/controllers/cert-manager.yaml":
            f"---\n{namespace % 'cert-manager'}---\n{repository % ('cert-manager', 'cert-manager')}",
        "infrastructure/controllers/ingress-nginx.yaml":
            f"---\n{namespace % 'ingress-nginx'}---\n{repository % ('ingress-nginx', 'ingress-nginx')}",
        "infrastructure/configs/kustomization.yaml":
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [cluster-issuers.yaml]\n",
        "infrastructure/configs/cluster-issuers.yaml":
            "apiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {name: letsencrypt}\n"
            "spec: {acme: {email: a@example.org, server: 'https://acme-staging.example.org'}}\n",
    }  # fmt: skip
    for environment in ("production", "staging"):
        files |= {
            f"apps/{environment}/kustomization.yaml":
                "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../base/podinfo]\n"
                "patches: [{path: podinfo-values.yaml, target: {kind: HelmRelease, name: podinfo}}]\n",
            f"apps/{environment}/podinfo-values.yaml":
                "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: podinfo}\n"
                f"spec: {{values: {{ingress: {{hosts: [{{host: podinfo.{environment}}}]}}}}}}\n",
            f"clusters/{environment}/apps.yaml": SYNC % {"name": "apps", "path": f"apps/{environment}"},
            f"clusters/{environment}/infrastructure.yaml":
                SYNC % {"name": "infra-controllers", "path": "infrastructure/controllers"}
                + "---\n" + SYNC % {"name": "infra-configs", "path": "infrastructure/configs"},
        }  # fmt: skip
    return files


def _argo() -> Mapping[str, str]:
    guestbook = {"name": "guestbook-ui", "image": "registry.example.org/guestbook:v5"}
    job = (
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  %s\n  annotations: {argocd.argoproj.io/hook: %s, "
        "argocd.argoproj.io/hook-delete-policy: HookSucceeded}\nspec:\n  template:\n    spec:\n"
        "      containers: [{name: sleep, image: 'registry.example.org/alpine:3', command: [sleep, '10']}]\n"
        "      restartPolicy: Never\n"
    )
    return {
        "README.md": "# Argo CD example apps\n",
        "guestbook/guestbook-ui-deployment.yaml": WORKLOAD % guestbook,
        "guestbook/guestbook-ui-svc.yaml": SERVICE % guestbook,
        "kustomize-guestbook/guestbook-ui-deployment.yaml": WORKLOAD % guestbook,
        "kustomize-guestbook/guestbook-ui-svc.yaml": SERVICE % guestbook,
        "kustomize-guestbook/kustomization.yaml":
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamePrefix: kustomize-\n"
            "resources:\n- guestbook-ui-deployment.yaml\n- guestbook-ui-svc.yaml\n",
        "helm-guestbook/Chart.yaml": CHART % "helm-guestbook",
        "helm-guestbook/values.yaml": VALUES,
        "helm-guestbook/values-production.yaml": "replicaCount: 3\n",
        "helm-guestbook/.helmignore": ".DS_Store\n.git/\n*.tmproj\n",
        "helm-guestbook/templates/_helpers.tpl": HELPERS,
        "helm-guestbook/templates/NOTES.txt": "Get the URL by running these commands.\n",
        "helm-guestbook/templates/deployment.yaml": TEMPLATE,
        "helm-dependency/Chart.yaml":
            CHART % "helm-dependency"
            + "dependencies: [{name: wordpress, version: 9.0.3, repository: 'https://charts.example.org'}]\n",
        "helm-dependency/values.yaml": "wordpress: {wordpressPassword: foo}\n",
        "jsonnet-guestbook/guestbook.jsonnet": "local params = import 'params.libsonnet';\n[]\n",
        "pre-post-sync/pre-sync-job.yaml": job % ("name: before", "PreSync"),
        "pre-post-sync/post-sync-job.yaml": job % ("generateName: after-", "PostSync"),
        "pre-post-sync/deployment.yaml": WORKLOAD % {"name": "hooked", "image": "registry.example.org/nginx:1"},
        "sync-waves/manifests.yaml":
            SERVICE % {"name": "backend"} + "---\n" + job % ("generateName: upgrade-sql-schema", "PreSync"),
        "blue-green/Chart.yaml": CHART % "blue-green",
        "blue-green/values.yaml": "replicaCount: 3\n",
        "blue-green/templates/rollout.yaml":
            "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata:\n"
            "  name: {{ .Release.Name }}\nspec: {replicas: {{ .Values.replicaCount }}}\n",
        "apps/Chart.yaml": CHART % "applications",
        "apps/values.yaml": "spec: {destination: {server: 'https://kubernetes.default.svc'}}\n",
        "apps/templates/applications.yaml":
            '{{ range $name := list "guestbook" "sync-waves" }}\n---\napiVersion: argoproj.io/v1alpha1\n'
            "kind: Application\nmetadata: {name: {{ $name }}, namespace: argocd}\n"
            "spec: {project: default, source: {path: {{ $name }}}, "
            "destination: {{ $.Values.spec.destination | toJson }}}\n"
            "{{ end }}\n",
        "sock-shop/base/kustomization.yaml": "resources: [carts.yaml, catalogue.yml]\n",
        "sock-shop/base/carts.yaml": WORKLOAD % {"name": "carts", "image": "registry.example.org/carts:0.4.8"},
        "sock-shop/base/catalogue.yml": "apiVersion: v1\nkind: List\nitems:\n- " + "\n  ".join(
            (SERVICE % {"name": "catalogue"}).splitlines()) + "\n",
        "plugins/kasane/Kasanefile": "layers: []\n",
        "test/utf16.yaml": "a: b".encode("utf-16").decode("utf-8", "surrogateescape"),
        "test/policy.yaml": "kind: Policy\nmetadata: {name: x}\nspec: {}\n",
    }  # fmt: skip


FLUX = _flux()
ARGO = _argo()

"""Turn the foreign documents of an App (plain manifests, a kustomization or a Helm chart) into manifests with origins.

Called by wiring.foreign. control.assembly uses it through ports.foreign. The modules plain, kustomize and helm each
handle one form.

Invariant: the same files and the same service give the same objects in the same order, and a result that several
environments share is computed once. Held by tests/sources/foreign/test_helm.py and
tests/sources/foreign/test_kustomize.py.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bateau.domain.errors import BateauError
from bateau.domain.problem import Problem
from bateau.domain.workload import Documents, Workload
from bateau.ports.foreign import Expansion
from bateau.sources.foreign.helm import Cluster, expand_chart
from bateau.sources.foreign.kustomize import expand_kustomization
from bateau.sources.foreign.naming import named_at
from bateau.sources.foreign.plain import expand_files
from bateau.sources.foreign.tree import Files, Tree


class ForeignDocuments:
    """Satisfies ports.foreign.Foreign for the directory that the specs were read from."""

    def __init__(
        self,
        root: Path,
        *,
        environ: Mapping[str, str],
        kubernetes: str = "1.37",
        serves: Callable[[], Iterable[str]] = tuple,
        files: Files | None = None,
    ) -> None:
        """`serves` returns the API versions that Kubernetes serves: "apps/v1", "apps/v1/Deployment".

        `files` puts files into `root` when they are named; without it, all are there.
        """
        self._tree = Tree(root, files)
        self._environ = environ
        self._kubernetes = kubernetes
        self._serves = serves
        self._known: dict[str, Expansion] = {}

    def expand(self, service: Workload, *, namespace: str, api_versions: tuple[str, ...] = ()) -> Expansion:
        """Return the objects of `service`, or the problems that prevent them. A repeated question costs nothing."""
        key = _identity(service, namespace, api_versions)
        if key not in self._known:
            try:
                self._known[key] = self._expand(service, namespace, api_versions)
            except BateauError as error:  # a file that cannot be read fails the App that names it, and no other
                wrong = Problem(where=named_at(service, "spec"), says=error.message, hint=error.hint)
                self._known[key] = Expansion(problems=(wrong,))
        return self._known[key]

    def _expand(self, service: Workload, namespace: str, api_versions: tuple[str, ...]) -> Expansion:
        spec = service.runs
        if not isinstance(spec, Documents):
            return Expansion()
        if spec.manifests is not None:
            return expand_files(self._tree, service, spec.manifests)
        if spec.kustomization is not None:
            return expand_kustomization(self._tree, service, spec.kustomization, self._environ)
        if spec.chart is not None:
            cluster = Cluster(self._kubernetes, lambda: (*self._serves(), *api_versions), namespace)
            return expand_chart(self._tree, service, spec.chart, cluster=cluster, environ=self._environ)
        return Expansion()


def _identity(service: Workload, namespace: str, api_versions: tuple[str, ...]) -> str:
    """Return everything that the result depends on: the fields that name files, and the places of these fields."""
    named = service.runs
    if not (isinstance(named, Documents) and named.chart):
        api_versions = ()  # only templates ask for them
    prefixes = ("spec.manifests", "spec.kustomization", "spec.chart")
    places = [(path, chain) for path, chain in sorted(service.origins.items()) if path.startswith(prefixes)]
    return repr((service.key, service.position, namespace, named, places, api_versions))

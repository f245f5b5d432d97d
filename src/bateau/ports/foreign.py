"""The port for foreign documents: it turns plain files, a kustomization or a Helm chart into manifests.

Used by control.assembly; satisfied by sources.foreign.ForeignDocuments.
"""

from dataclasses import dataclass
from typing import Protocol

from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.problem import Problem
from bateau.domain.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """The objects of an App that includes foreign documents, unchanged, with an origin for every leaf.

    `problems` are errors in the documents or in the spec that names them: with any, there are no manifests. `findings`
    report the steps that were not possible: a missing program is a finding "not checked", and never ignored.
    """

    manifests: tuple[Manifest, ...] = ()
    problems: tuple[Problem, ...] = ()
    findings: tuple[Finding, ...] = ()


class Foreign(Protocol):
    """Expands foreign documents. The same files and the same service give the same objects, in the same order."""

    def expand(self, service: Workload, *, namespace: str, api_versions: tuple[str, ...] = ()) -> Expansion:
        """Return the objects of `service`, whose spec names manifests, a kustomization or a chart.

        The templates of a chart find `api_versions` ("a.dev/v1", "a.dev/v1/Thing") beside those of Kubernetes.

        Never raises for the content of documents. Runs programs, and waits for them for a limited time.
        """
        ...

"""The fields of `spec.chart`: a Helm chart in the repository, and the values that it is rendered with.

Part of domain.workload; read by kit.schema with the rest of an App, and by sources.foreign, which renders the chart.

Invariant: the documentation and the default of every field are here and nowhere else. Held by
tests/docs/test_reference.py::test_every_field_of_the_schema_is_in_the_reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bateau.kit.json_value import ReadJson
from bateau.kit.schema import described


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A Helm chart in the repository. Pull a chart from elsewhere into the repository first, so that it is reviewed."""

    source: str = described(
        "Directory or `.tgz` of the chart, relative to the file of the App.", examples=("charts/search",)
    )
    release: str | None = described("Name of the Helm release. Absent: the name of the App.", default=None)
    value_files: tuple[str, ...] = described(
        "Value files, relative to the file of the App. A later file overrides an earlier one; `values` overrides all.",
        default=(),
        examples=(("values.yaml", "values-prod.yaml"),),
    )
    values: Mapping[str, ReadJson] = described("Values that override the defaults of the chart.", default_factory=dict)
    api_versions: tuple[str, ...] = described(
        "API versions of the CRDs on the cluster. `.Capabilities.APIVersions` of the templates has them in addition to "
        "those of Kubernetes.",
        default=(),
        examples=(("monitoring.coreos.com/v1", "cert-manager.io/v1/Certificate"),),
    )

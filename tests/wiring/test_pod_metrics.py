"""CPU and memory of pods through a real API server. A stand-in of the tests measures, and no metrics-server."""

from pathlib import Path

import pytest

from bateau.domain.errors import ClusterError
from bateau.runtimes.kubernetes.usage import PodUse, pod_uses
from runtimes.kubernetes.metrics_stand_in import metrics_stand_in
from runtimes.kubernetes.rig import bench


@pytest.mark.timeout(600)
async def test_the_figures_of_a_real_api_server_are_read_and_it_says_when_it_has_none(control_plane: Path) -> None:
    async with bench(control_plane) as at:
        with pytest.raises(ClusterError, match=r"does not serve metrics\.k8s\.io"):
            await pod_uses(at.api, [at.namespace])
        async with metrics_stand_in(at.api, at.namespace) as server:
            server.figures = {f"{at.namespace}/web-1": ("250m", "12Mi"), "other/web-1": ("9", "9Gi")}
            found = await pod_uses(at.api, [at.namespace])
            assert found == {f"{at.namespace}/web-1": PodUse(cpu_cores=0.25, memory_bytes=12 * 2**20)}
            assert server.asked[-1][0] == f"/apis/metrics.k8s.io/v1beta1/namespaces/{at.namespace}/pods"
        with pytest.raises(ClusterError, match=r"does not serve metrics\.k8s\.io"):
            await pod_uses(at.api, [at.namespace])

"""`bateau alerts --env`: the alerts of controllers, by the real program, over a forwarded port."""

import asyncio
import json
import os
import sys
from pathlib import Path

from bateau.wiring.listen import free_port
from wiring.alert_instance import FakeReceiver
from wiring.forwarding import cluster_with, kubeconfig
from wiring.test_cluster_alerts import READY, Cluster

_SPECS = """
apiVersion: bateau.dev/v1alpha1
kind: Environment
metadata: {name: prod}
spec: {clusters: [%s], namespace: shop}
"""
_CLUSTER = """---
apiVersion: bateau.dev/v1alpha1
kind: Cluster
metadata: {name: %s}
spec: {context: %s}
"""


class Project:
    """A directory of specs whose environment prod is on these clusters."""

    def __init__(self, folder: Path, **servers: str) -> None:
        self.directory = folder / "specs"
        self.directory.mkdir()
        self.kubeconfig = kubeconfig(folder / "kubeconfig", servers)
        clusters = "".join(_CLUSTER % (name, name) for name in servers)
        (self.directory / "prod.yaml").write_text(_SPECS % ", ".join(servers) + clusters)

    async def alerts(self, *words: str) -> tuple[int, str, str]:
        """Run `bateau alerts WORDS --env prod`, and return its exit code, stdout and stderr."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bateau", "alerts", *words, "--env", "prod"),
            cwd=self.directory,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), "NO_COLOR": "1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


async def failing(folder: Path, *receivers: FakeReceiver) -> Cluster:
    """Return a cluster whose source fails."""
    cluster = Cluster(folder, *receivers)
    cluster.shows(READY)
    cluster.trouble = "the registry answers 503"
    await cluster.after(0)
    assert await cluster.after(120) == ["BateauSourceFailed"]
    return cluster


async def test_the_alerts_of_a_cluster_are_listed_silenced_and_tested(tmp_path: Path) -> None:
    receiver = FakeReceiver()
    cluster = await failing(tmp_path, receiver)
    async with cluster_with(cluster.alerts) as url:
        project = Project(tmp_path, berlin=url)
        code, out, _ = await project.alerts("list")
        assert code == 0
        assert out.startswith("berlin: warning  BateauSourceFailed  ")
        assert "the registry answers 503" in out
        code, out, err = await project.alerts("list", "--json")
        (alert,) = json.loads(out)
        assert (code, err) == (0, "")
        assert (alert["cluster"], alert["name"], alert["silencedUntil"]) == ("berlin", "BateauSourceFailed", None)
        code, out, _ = await project.alerts("silence", "shop.web", "--for", "2h", "--why", "a disk")
        assert code == 0
        assert out.startswith("berlin: silenced app/shop.web until ")
        (silence,) = cluster.alerts.board().silences
        assert out.rstrip().endswith(f"bateau alerts unsilence {silence.id} --env prod")
        assert silence.why == "a disk"
        code, out, _ = await project.alerts("silences")
        assert code == 0
        assert out.split("\n")[1].split()[:3] == ["berlin", silence.id, "app/shop.web"]
        assert await project.alerts("unsilence", silence.id) == (0, f"ended the silence {silence.id} on berlin\n", "")
        assert cluster.alerts.board().silences == ()
        code, out, err = await project.alerts("unsilence", silence.id)
        assert (code, out) == (3, "")
        assert err.startswith(f"error: there is no silence {silence.id}"), "the words of a machine"
        assert (await project.alerts("test"))[:2] == (0, f"berlin: {receiver.name}: delivered\n")


async def test_a_cluster_that_cannot_be_reached_is_unknown_and_not_calm(tmp_path: Path) -> None:
    cluster = await failing(tmp_path)
    async with cluster_with(cluster.alerts) as url:
        project = Project(tmp_path, berlin=url, munich=f"http://127.0.0.1:{free_port()}")
        code, out, err = await project.alerts("list")
        assert code == 3
        assert "BateauSourceFailed" in out
        assert "munich: unknown: cannot reach munich" in err
        cluster.trouble = None
        await cluster.after(600)
        code, out, err = await project.alerts("list")
        assert (code, out) == (3, "")
        assert "no alert fires" not in err
        code, _, err = await project.alerts("list", "--cluster", "berlin")
        assert code == 0
        assert err == "no alert fires\nberlin: alerts are not delivered to anybody: see docs/how-to/alerts.md\n"
        code, _, err = await project.alerts("list", "--cluster", "bonn")
        assert code == 2
        assert "prod has no cluster bonn: berlin" in err


async def test_a_controller_of_an_older_version_is_named(tmp_path: Path) -> None:
    async with cluster_with(None) as url:
        code, _, err = await Project(tmp_path, berlin=url).alerts("list")
    assert code == 3
    assert "bateau-system/bateau-controller-1 has no alerts (it answered 404)" in err
    assert "`bateau install` upgrades it" in err

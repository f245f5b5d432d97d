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
    done = subprocess.run(
        [environment / "bin/bateau", "run", "smollm2", "Say hi."],
        cwd=tmp_path,
        env=stack.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    listed = _run(uv, "pip", "list", "--python", environment / "bin/python")
    assert "pytest" not in listed


def _run(*command: str | Path) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout

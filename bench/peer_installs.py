"""Peers installed from the package indexes, each at one version, into a cache of the benchmarks' own.

Used by bench.peers. What is in the cache is used as it is, so that only the first run installs.

Invariant: the project's own environment is never touched; what cannot be installed says why.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bateau-bench"
_SECONDS_MAX = 900


class NotInstalledError(Exception):
    """A peer that is not to be had here, and why."""


def python_with(*requirements: str) -> Path:
    """Return the Python of a virtual environment that holds `requirements`, which pin their versions."""
    folder = CACHE / "python" / "+".join(requirements)
    python = folder / "bin/python"
    if not (folder / ".ready").exists():
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])
        (folder / ".ready").touch()
    return python


def go_program(package: str, version: str) -> Path:
    """Return the program that `go install PACKAGE@VERSION` builds."""
    folder = CACHE / "go" / f"{package.replace('/', '-')}@{version}"
    if not (folder / ".ready").exists():
        _run([_go(), "install", f"{package}@{version}"], GOBIN=str(folder), CGO_ENABLED="0")
        (folder / ".ready").touch()
    return next(path for path in folder.iterdir() if path.name != ".ready")


def go_source(source: Path, module: str, version: str) -> Path:
    """Return the program built of one Go file against one version of the module that it uses."""
    folder = CACHE / "go" / f"{source.parent.name}-with-{module.replace('/', '-')}@{version}"
    program = folder / "program"
    text = source.read_text(encoding="utf-8")
    copy = folder / source.name
    if not program.exists() or copy.read_text(encoding="utf-8") != text:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        copy.write_text(text, encoding="utf-8")
        go = _go()
        for arguments in (
            ["mod", "init", "bench"],
            ["mod", "edit", f"-require={module}@{version}"],
            ["mod", "tidy"],
            ["build", "-o", program.name, "."],
        ):
            _run([go, *arguments], cwd=folder, CGO_ENABLED="0")
    return program


def beside_python(name: str) -> Path:
    """Return a program that the project's environment has."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        raise NotInstalledError(f"{name} is not in the project's environment")
    return Path(found)


def _go() -> str:
    found = shutil.which("go")
    if found is None:
        raise NotInstalledError("there is no Go compiler")
    return found


def _run(command: list[str], *, cwd: Path | None = None, **environ: str) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS_MAX,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalledError(str(error)) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        raise NotInstalledError(said[-1])

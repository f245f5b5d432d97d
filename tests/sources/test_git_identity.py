"""One repository has one name, however it was cloned."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from bateau.sources.git.identity import identity, identity_of


@pytest.mark.parametrize(
    "url",
    [
        "git@git.example:acme/shop.git",
        "ssh://git@git.example:2222/acme/shop.git",
        "https://git.example/acme/shop",
        "https://ci:s3cret@git.example:8443/acme/shop.git/",
        "git.example:acme/shop",
        "git://GIT.example/acme/shop.git",
    ],
)
def test_every_url_of_a_repository_gives_the_same_name(url: str) -> None:
    assert identity(url) == "git.example/acme/shop"
    assert identity(url, "teams/a/") == "git.example/acme/shop/teams/a"


@pytest.mark.parametrize(
    "url", ["", "/srv/git/shop.git", "../shop", "file:///srv/git/shop.git", "https://git.example/"]
)
def test_a_path_of_this_machine_names_no_repository(url: str) -> None:
    assert identity(url) == ""


def test_a_directory_is_named_by_its_remote_and_its_place(tmp_path: Path) -> None:
    def named(directory: Path) -> str:
        return asyncio.run(identity_of(directory, os.environ))

    folder = tmp_path / "prod"
    folder.mkdir()
    assert named(folder) == ""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert named(folder) == ""
    command = ["git", "-C", str(tmp_path), "remote", "add", "origin", "git@git.example:acme/shop.git"]
    subprocess.run(command, check=True)
    assert named(folder) == "git.example/acme/shop/prod"
    assert named(tmp_path) == "git.example/acme/shop"

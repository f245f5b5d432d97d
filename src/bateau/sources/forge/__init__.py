"""Where pull requests are talked about: GitHub, GitLab, Gitea."""

from bateau.sources.forge.github import Gitea, GitHub
from bateau.sources.forge.gitlab import GitLab

__all__ = ["GitHub", "GitLab", "Gitea"]

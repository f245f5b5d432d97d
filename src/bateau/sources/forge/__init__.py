"""Write statuses and comments to the forges GitHub, GitLab and Gitea."""

from bateau.sources.forge.github import Gitea, GitHub
from bateau.sources.forge.gitlab import GitLab

__all__ = ["GitHub", "GitLab", "Gitea"]

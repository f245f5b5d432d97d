"""Git as the source of specs: a repository followed, commits compared, a promotion made, webhooks believed or not."""

from bateau.sources.git.follow import Following, GitTexts
from bateau.sources.git.objects import GitFile, GitObjects
from bateau.sources.git.promotion import Promotion, Written, edit, promote
from bateau.sources.git.reference import GitReference, is_git, parse
from bateau.sources.git.webhook import Push, Refused, Unheeded, received

__all__ = [
    "Following",
    "GitFile",
    "GitObjects",
    "GitReference",
    "GitTexts",
    "Promotion",
    "Push",
    "Refused",
    "Unheeded",
    "Written",
    "edit",
    "is_git",
    "parse",
    "promote",
    "received",
]

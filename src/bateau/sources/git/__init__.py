"""Git as the source of specs: follow a repository, read and compare commits, promote, and verify webhooks."""

from bateau.sources.git.commit_files import CommitFiles
from bateau.sources.git.follow import Following, GitTexts
from bateau.sources.git.listing import Listing
from bateau.sources.git.objects import GitObjects
from bateau.sources.git.overlays import FilePromotion, Files
from bateau.sources.git.promotion import Promotion, Written, edit, promote
from bateau.sources.git.reference import GitReference, is_git, parse
from bateau.sources.git.webhook import Push, Refused, Unheeded, received
from bateau.sources.git.work_tree import LaidOut, WorkTree

__all__ = [
    "CommitFiles",
    "FilePromotion",
    "Files",
    "Following",
    "GitObjects",
    "GitReference",
    "GitTexts",
    "LaidOut",
    "Listing",
    "Promotion",
    "Push",
    "Refused",
    "Unheeded",
    "WorkTree",
    "Written",
    "edit",
    "is_git",
    "parse",
    "promote",
    "received",
]

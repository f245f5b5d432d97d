"""The client programs import packages that only their own environments have."""

from local.conftest import cache

__all__ = ["cache"]

collect_ignore_glob = ["python/*"]

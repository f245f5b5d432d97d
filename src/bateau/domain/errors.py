"""The tree of exceptions for failures of the world. An error in a spec is a `Problem`, and never raised.

```
BateauError                 message, hint: users see these two and nothing else
├── SourceError             a model or a repository could not be fetched
│   ├── SourceNotFound      nothing exists under the reference
│   ├── SourceDenied        credentials are missing or rejected
│   ├── SourceDamaged       a repository lacks objects that it should have
│   ├── SourceUnreachable   no network, no such host, a cut connection: a retry may help
│   ├── ChecksumMismatch    the content differs from its checksum
│   ├── DiskFull            no room for the file; reported before the download if the size is known
│   └── NotAModel           the file is not a GGUF file, or is truncated
├── ClusterError            a request to a cluster failed
│   ├── ClusterUnreachable  no network, no such host, an overloaded API server: a retry may help
│   ├── ClusterDenied       the API server does not accept the credentials, or they lack a right
│   └── ObjectRefused       the API server refuses one object; the others are not affected
├── ReplicaError             a replica could not be started or stopped
└── ControlError            the control plane cannot be reached, or one is already running
```
"""

from typing import Final

BUG: Final = "this is a bug in bateau"


def bug(error: BaseException) -> str:
    """Return the message that reports an unexpected exception to users, without a full stop."""
    return f"{BUG}: {type(error).__name__}: {error}"


class BateauError(Exception):
    """Something in the world failed. `message` is one sentence, `hint` describes the fix."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SourceError(BateauError):
    """A model or a repository could not be fetched."""


class SourceNotFound(SourceError):
    """Nothing exists under the reference."""


class SourceDenied(SourceError):
    """Credentials are missing or rejected."""


class SourceDamaged(SourceError):
    """A Git repository is damaged or incomplete: it lacks objects that it should have."""


class SourceUnreachable(SourceError):
    """No network, no such host, a cut connection or an overloaded server: a retry may help.

    `retry_after_s` is the delay in seconds that the server asks for; None if it asks for none.
    """

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class ChecksumMismatch(SourceError):
    """The content differs from its checksum."""


class DiskFull(SourceError):
    """There is no room for the file."""


class NotAModel(SourceError):
    """The file is not a GGUF file, or is truncated."""


class ClusterError(BateauError):
    """A request to a cluster failed."""


class ClusterUnreachable(ClusterError):
    """No network, no such host, a cut connection or an overloaded API server: a retry may help."""


class ClusterDenied(ClusterError):
    """The API server does not accept the credentials, or the account lacks a right."""


class ObjectRefused(ClusterError):
    """The API server refuses one object: it is invalid, forbidden by a policy, or in conflict with another manager.

    `reason` is the reason of the API server's Status, such as "Conflict" or "Invalid"; `code` is its HTTP status.
    """

    def __init__(self, message: str, *, reason: str, code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.code = code


class ReplicaError(BateauError):
    """A replica could not be started or stopped."""


class ControlError(BateauError):
    """The control plane cannot be reached, or one is already running."""

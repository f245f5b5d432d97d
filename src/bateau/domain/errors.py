"""The ways the world fails, as one tree. What people wrote wrong is a `Problem` and never raised.

```
BateauError                 message, hint: all that a user ever sees of it
├── SourceError             a model could not be fetched
│   ├── SourceNotFound      the reference names nothing
│   ├── SourceDenied        credentials are missing or refused
│   ├── SourceDamaged       a repository lacks objects that it should have
│   ├── SourceUnreachable   no network, no such host, cut in the middle: trying again may help
│   ├── ChecksumMismatch    what arrived is not what was promised
│   ├── DiskFull            told before the first byte where the size is known
│   └── NotAModel           the file is no GGUF, or is cut short
├── ReplicaError             a replica could not be started or stopped
└── ControlError            the control plane could not be reached, or one runs already
```
"""


def bug(error: BaseException) -> str:
    """Return how an exception that nobody expected is named to users, without a full stop."""
    return f"this is a bug in bateau: {type(error).__name__}: {error}"


class BateauError(Exception):
    """Something in the world failed; `message` is one sentence, `hint` says how to mend it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SourceError(BateauError):
    """A model could not be fetched."""


class SourceNotFound(SourceError):
    """The reference names nothing."""


class SourceDenied(SourceError):
    """Credentials are missing or refused."""


class SourceDamaged(SourceError):
    """A Git repository is damaged or incomplete: it lacks objects that it should have."""


class SourceUnreachable(SourceError):
    """No network, no such host, a cut connection or an overloaded server: a retry may help.

    `retry_after_s` is how many seconds the server asks to wait; None where it does not say.
    """

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class ChecksumMismatch(SourceError):
    """What arrived is not what was promised."""


class DiskFull(SourceError):
    """There is no room for the file."""


class NotAModel(SourceError):
    """The file is no GGUF, or is cut short."""


class ReplicaError(BateauError):
    """A replica could not be started or stopped."""


class ControlError(BateauError):
    """The control plane could not be reached, or one runs already."""

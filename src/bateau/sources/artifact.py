"""What a reference turns into: one file somewhere, and what is known of it before it is here.

Made by the resolvers (pypi, huggingface, ollama, oci, web); read by download and by models. Nouns only.

Invariant: `authorization` never shows in a repr, so it never shows in a log or a message.
"""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file to fetch. `sha256` is what the source promises, None where it promises nothing.

    `member_ending` is set where the file is a ZIP archive and the model its only member with that ending.
    `authorization` is sent to the host of `url` and to no other.
    """

    url: str
    file_name: str
    sha256: str | None = None
    size_bytes: int | None = None
    member_ending: str | None = None
    authorization: str | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """Name of the content: the digest where it is known, else one made of the URL. 64 hex digits both ways."""
        return self.sha256 or hashlib.sha256(b"url\0" + self.url.encode()).hexdigest()

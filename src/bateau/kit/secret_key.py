"""API keys as text: a prefix and a checksum that secret scanners find, around a random part.

Called by cli.chat_client, specs.kinds.key, wiring.keys and wiring.service_keys. Pure: the caller brings the random
bytes.

Source: GitHub, "Behind GitHub's new authentication token formats" (2021): a prefix, base 62, and a CRC-32 at the end,
so that a scanner can tell a key from other text without asking anybody.

Invariant: a key has at least 128 random bits, because its hash is stored without a salt. Held by
tests/kit/test_secret_key.py.
"""

import hashlib
import re
import zlib
from typing import Final

PREFIX: Final = "bateau_"
# What a secret scanner searches for; `is_key` then checks the checksum.
PATTERN: Final = re.compile(r"bateau_[0-9A-Za-z]{38}")
ENTROPY_BYTES: Final = 24

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM: Final = 32  # digits, a little less than 191 bits
_CHECKSUM: Final = 6


def key_of(entropy: bytes) -> str:
    """Return the key of `ENTROPY_BYTES` random bytes.

    >>> key_of(bytes(24))
    'bateau_000000000000000000000000000000002wjyrI'
    """
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"a key is made of {ENTROPY_BYTES} bytes")
    number = int.from_bytes(entropy, "big") % len(_DIGITS) ** _RANDOM
    random = _base62(number, _RANDOM)
    return PREFIX + random + _checksum(random)


def is_key(text: str) -> bool:
    """Whether a text is a key with the right checksum.

    >>> is_key(key_of(bytes(24))), is_key("bateau_" + "0" * 38), is_key("sk-123")
    (True, False, False)
    """
    if not PATTERN.fullmatch(text):
        return False
    random = text[len(PREFIX) : -_CHECKSUM]
    return _checksum(random) == text[-_CHECKSUM:]


def hash_of(key: str) -> str:
    """Return the SHA-256 of a key in lower-case hexadecimal digits: what is stored, and what the gateway compares."""
    return hashlib.sha256(key.encode()).hexdigest()


def hint_of(key: str) -> str:
    """Return the end of a key, by which people recognise it: too short to guess the rest."""
    return key[-4:]


def _checksum(random: str) -> str:
    return _base62(zlib.crc32(random.encode()), _CHECKSUM)


def _base62(number: int, digits: int) -> str:
    found = ""
    for _ in range(digits):
        number, rest = divmod(number, len(_DIGITS))
        found = _DIGITS[rest] + found
    return found

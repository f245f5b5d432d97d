"""Keys as text: random enough, and recognised by a scanner."""

import math
import os
import zlib

import pytest

from bateau.kit.secret_key import ENTROPY_BYTES, PATTERN, hash_of, is_key, key_of


def test_a_key_has_at_least_128_random_bits() -> None:
    assert math.log2(62) * 32 > 128
    assert len({key_of(os.urandom(ENTROPY_BYTES)) for _ in range(1000)}) == 1000
    # The last bit of the randomness matters, too.
    assert key_of(bytes(23) + b"\x01") != key_of(bytes(24))


def test_a_scanner_finds_keys_in_text_and_tells_them_from_other_text() -> None:
    key = key_of(os.urandom(ENTROPY_BYTES))
    (found,) = PATTERN.findall(f'curl -H "authorization: Bearer {key}" x')
    assert found == key
    assert is_key(key)
    for at in range(len("bateau_"), len(key)):
        other = "1" if key[at] == "0" else "0"
        assert not is_key(key[:at] + other + key[at + 1 :])


def test_the_checksum_is_the_crc_of_the_random_part_in_base_62() -> None:
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    key = key_of(os.urandom(ENTROPY_BYTES))
    number = 0
    for digit in key[-6:]:
        number = number * 62 + digits.index(digit)
    assert number == zlib.crc32(key[7:-6].encode())


def test_the_wrong_number_of_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="24 bytes"):
        key_of(b"1")


def test_the_hash_is_that_of_the_standard() -> None:
    """Source: FIPS 180-4, the example "abc"."""
    assert hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

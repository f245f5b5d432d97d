"""Records of measures: whole ones are found behind damage and torn ends."""

import random
from array import array

from bateau.store.measure_records import framed, packed, scanned, unpacked


def _payloads(data: bytes) -> list[bytes]:
    return [data[each.start : each.end] for each in scanned(data).records]


def test_records_come_back_in_order() -> None:
    data = framed(1, b"one") + framed(2, b"") + framed(3, b"three" * 1000)
    assert _payloads(data) == [b"one", b"", b"three" * 1000]
    assert [each.kind for each in scanned(data).records] == [1, 2, 3]


def test_a_torn_end_is_no_damage_and_the_file_continues_behind_the_last_whole_record() -> None:
    first, second = framed(1, b"one"), framed(1, b"two")
    for length in range(len(second)):
        found = scanned(first + second[:length])
        assert (len(found.records), found.whole, found.damaged) == (1, len(first), 0), length


def test_what_is_behind_damage_is_found_again() -> None:
    chance = random.Random(4)  # noqa: S311 - a test needs the same numbers each time
    payloads = [bytes(chance.randbytes(chance.randrange(40))) for _ in range(8)]
    data = b"".join(framed(1, each) for each in payloads)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << chance.randrange(8)
        found = _payloads(bytes(damaged))
        assert len(found) == len(payloads) - 1, position
        assert all(each in payloads for each in found)
        is_last = position >= len(data) - len(framed(1, payloads[-1]))
        assert scanned(bytes(damaged)).damaged == (0 if is_last else 1)


def test_the_head_of_a_record_in_its_content_is_no_record() -> None:
    inner = framed(1, b"inner")
    assert _payloads(framed(2, inner)) == [inner]


def test_numbers_come_back() -> None:
    values = array("f", [1.5, -2.0, 0.0, 1e30])
    assert unpacked("f", packed(values)) == values
    assert unpacked("d", packed(array("d", [2.5]))) == array("d", [2.5])

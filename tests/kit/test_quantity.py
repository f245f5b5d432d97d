"""Quantities and durations: exact, and strict about units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.kit.quantity import (
    BYTES_MAX,
    QuantityError,
    format_bytes,
    format_cores,
    format_seconds,
    parse_bytes,
    parse_cores,
    parse_seconds,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("512", 512),
        (512, 512),
        ("2Gi", 2 * 2**30),
        ("2G", 2 * 10**9),
        ("1.5G", 1_500_000_000),
        ("1.5Gi", 3 * 2**29),
        ("0.1Gi", 107_374_183),  # rounded up, as Kubernetes does
        ("1k", 1000),
        ("1Ki", 1024),
        ("12e6", 12_000_000),
        ("1E", 10**18),
        ("1e3", 1000),
        (1e3, 1000),
        ("4Ei", 4 * 2**60),
    ],
)
def test_sizes_are_read_as_kubernetes_reads_them(text: str | float, expected: int):
    assert parse_bytes(text) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("2GB", "did you mean `2Gi` (2 * 2^30 bytes) or `2G` (2 * 10^9 bytes)?"),
        ("2gb", "did you mean `2Gi` (2 * 2^30 bytes) or `2G` (2 * 10^9 bytes)?"),
        ("2g", "did you mean `2Gi` (2 * 2^30 bytes) or `2G` (2 * 10^9 bytes)?"),
        ("2K", "did you mean `2Ki` (2 * 2^10 bytes) or `2k` (2 * 10^3 bytes)?"),
        ("512MiB", "did you mean `512Mi`?"),
        ("2 Gi", "did you mean `2Gi`?"),
        ("512 bytes", "did you mean `512`? Bytes have no suffix"),
        ("500m", "did you mean `500Mi` (500 * 2^20 bytes) or `500M` (500 * 10^6 bytes)?"),
        ("lots", "write a size such as `512Mi`, `2Gi` or `1.5G`"),
        ("", "write a size such as `512Mi`, `2Gi` or `1.5G`"),
        ("-1Gi", "write a size such as `2Gi`"),
        ("8Ei", "write a size such as `2Gi`"),
        ("1e999999999", "write a size such as `512Mi`, `2Gi` or `1.5G`"),
    ],
)
def test_a_wrong_size_says_what_was_meant(text: str, hint: str):
    with pytest.raises(QuantityError) as raised:
        parse_bytes(text)
    assert raised.value.hint == hint


@pytest.mark.parametrize(("text", "expected"), [("500m", 0.5), ("2", 2.0), (2, 2.0), (0.25, 0.25), ("1e-1", 0.1)])
def test_cores_are_read_as_kubernetes_reads_them(text: str | float, expected: float):
    assert parse_cores(text) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("500MB", "did you mean `500m` (thousandths of a core)? Sizes belong to memory"),
        ("2 cores", "did you mean `2`?"),
        ("50%", "did you mean `500m`?"),
        ("2Gi", "write cores such as `2`, `0.5` or `500m` (thousandths of a core)"),
        ("-1", "write cores such as `2`, `0.5` or `500m` (thousandths of a core)"),
    ],
)
def test_wrong_cores_say_what_was_meant(text: str, hint: str):
    with pytest.raises(QuantityError) as raised:
        parse_cores(text)
    assert raised.value.hint == hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30s", 30.0), ("5m", 300.0), ("1h30m", 5400.0), ("250ms", 0.25), ("1.5h", 5400.0), ("0", 0.0), (0, 0.0)],
)
def test_durations_are_read_as_go_reads_them(text: str | float, expected: float):
    assert parse_seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("5 minutes", "did you mean `5m`?"),
        ("30", "did you mean `30s`, `30m` or `30ms`?"),
        (30, "did you mean `30s`, `30m` or `30ms`?"),
        ("10 sec", "did you mean `10s`?"),
        ("2d", "did you mean `48h`?"),
        ("-5s", "write a duration such as `30s`"),
        ("soon", "write a duration such as `30s`, `5m`, `1h30m` or `250ms`"),
        ("", "write a duration such as `30s`, `5m`, `1h30m` or `250ms`"),
    ],
)
def test_a_wrong_duration_says_what_was_meant(text: str | float, hint: str):
    with pytest.raises(QuantityError) as raised:
        parse_seconds(text)
    assert raised.value.hint == hint


@given(st.integers(0, BYTES_MAX))
def test_a_size_is_written_so_that_it_reads_back(size: int):
    assert parse_bytes(format_bytes(size)) == size


@given(st.integers(0, 10**9))
def test_cores_are_written_so_that_they_read_back(thousandths: int):
    assert parse_cores(format_cores(thousandths / 1000)) == thousandths / 1000


@given(st.floats(0, 1e9, allow_subnormal=False).map(lambda seconds: round(seconds, 6)))
def test_a_duration_is_written_so_that_it_reads_back(seconds: float):
    assert parse_seconds(format_seconds(seconds)) == seconds


@given(st.one_of(st.text(max_size=30), st.floats(), st.integers()))
def test_what_is_no_quantity_is_a_quantity_error_and_nothing_else(value: str | float):
    for parse in (parse_bytes, parse_cores, parse_seconds):
        try:
            parse(value)
        except QuantityError as error:
            assert error.says  # noqa: PT017 - either outcome is right here
            assert error.hint  # noqa: PT017

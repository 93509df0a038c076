"""Compression: worth its while when writing, bounded when reading."""

from __future__ import annotations

import builtins
import importlib
import os
import tracemalloc
import zlib
from typing import Any

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from holdfast import compression
from holdfast.compression import LONGEST, compressor, expand, shrink
from holdfast.errors import ConfigurationError

NAMES = ["zlib", "zstd", "lz4"]
MIB = 1024 * 1024
TEXT = b'{"id": 1, "name": "kettle", "tags": ["a", "b"]}, ' * 100


@pytest.mark.parametrize("name", NAMES)
@given(data=st.binary(min_size=1, max_size=200), times=st.integers(1, 200))
def test_what_was_shrunk_expands_again(name: str, data: bytes, times: int) -> None:
    """What is not worth compressing is said to be so; the rest comes back."""
    method = compressor(name)
    original = data * times
    smaller = shrink(method, original)
    if smaller is not None:
        assert len(smaller) <= 0.9 * len(original)
        assert expand(method, smaller, len(original)) == original


@pytest.mark.parametrize("name", NAMES)
def test_only_what_gets_smaller_is_compressed(name: str) -> None:
    """Short values, and values that do not shrink by a tenth, stay as they are."""
    method = compressor(name)
    assert shrink(method, b"a" * 1023) is None
    assert shrink(method, b"a" * 1024) is not None
    assert shrink(method, os.urandom(5000)) is None


@pytest.mark.parametrize("name", NAMES)
def test_what_could_not_be_read_back_is_not_compressed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the ratio that reading allows, and beyond 64 MiB, a value is stored as it is."""
    method = compressor(name)
    assert shrink(method, bytes(MIB)) is not None
    assert shrink(method, bytes(3 * MIB)) is None or name == "lz4"  # lz4 does not reach a ratio of 300
    monkeypatch.setattr(compression, "LONGEST", len(TEXT) - 1)
    assert shrink(method, TEXT) is None


def bomb(name: str, size: int) -> bytes:
    """Return what expands to `size` zero bytes."""
    if name == "zlib":
        stream = zlib.compressobj(9)
        return b"".join(stream.compress(bytes(MIB)) for _ in range(size // MIB)) + stream.flush()
    if name == "zstd":
        return zstandard.ZstdCompressor().compress(bytes(size))
    return bytes(lz4.frame.compress(bytes(size)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("declared", [1000, 10 * MIB, 2**32 - 1])
def test_a_bomb_is_refused_in_bounded_memory(name: str, declared: int) -> None:
    """Whatever length is declared, no more than a few MiB are touched."""
    method = compressor(name)
    payload = bomb(name, 10 * MIB)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"too large|damaged"):
            expand(method, payload, declared)
        assert tracemalloc.get_traced_memory()[1] < 6 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", NAMES)
def test_the_declared_length_is_the_limit(name: str) -> None:
    """One byte more or less than declared is refused."""
    method = compressor(name)
    smaller = method.compress(TEXT)
    assert expand(method, smaller, len(TEXT)) == TEXT
    with pytest.raises(ValueError, match="too large"):
        expand(method, smaller, len(TEXT) - 1)
    with pytest.raises(ValueError, match="too large"):
        expand(method, smaller, 0)
    with pytest.raises(ValueError, match="damaged"):
        expand(method, smaller, len(TEXT) + 1)
    with pytest.raises(ValueError, match="too large"):
        expand(method, bytes(MIB), LONGEST + 1)


@pytest.mark.parametrize("name", NAMES)
def test_truncation_and_trailing_bytes_are_refused(name: str) -> None:
    """A payload is one compressed stream, whole, and nothing else."""
    method = compressor(name)
    smaller = method.compress(TEXT)
    for wrong in (smaller[:-1], smaller[: len(smaller) // 2], smaller[:3], b"", smaller + b"!", smaller + smaller):
        with pytest.raises(ValueError, match="damaged"):
            expand(method, wrong, len(TEXT))


@pytest.mark.parametrize("name", NAMES)
@given(noise=st.binary(max_size=300), length=st.integers(0, 2**32 - 1))
def test_noise_is_refused_as_a_value_error(name: str, noise: bytes, length: int) -> None:
    """The libraries' own errors do not get out."""
    try:
        expand(compressor(name), noise, length)
    except ValueError as error:
        assert str(error) in {"too large", "damaged"}  # noqa: PT017 - noise may also be valid


def test_zstd_without_a_declared_size_is_refused() -> None:
    """Our own frames declare theirs; without it the library cannot be bounded."""
    streamed = zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)
    with pytest.raises(ValueError, match="damaged"):
        expand(compressor("zstd"), streamed, len(TEXT))


def test_an_unknown_compression_is_told_with_the_known_ones() -> None:
    """The message lists them."""
    with pytest.raises(ConfigurationError, match="'gzip' is not known: use one of 'zlib', 'zstd', 'lz4', or None"):
        compressor("gzip")


@pytest.mark.parametrize(("name", "package"), [("zstd", "zstandard"), ("lz4", "lz4.frame")])
def test_a_missing_package_is_told_with_the_command_to_install_it(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra has the name of the compression."""
    real = importlib.import_module

    def missing(module: str, *rest: Any) -> Any:
        if module == package:
            raise builtins.ImportError(module)
        return real(module, *rest)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigurationError, match=rf"pip install 'holdfast\[{name}\]'"):
        compressor(name)

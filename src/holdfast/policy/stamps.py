"""The tags of an entry with the versions that they had before its load, as a frame carries them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from holdfast.errors import SerializationError

LONGEST: Final = 0xFFFF
"""Bytes that all stamps of an entry may take."""

_SIZES: Final = struct.Struct(">HBB")


class Stamp(NamedTuple):
    """A tag and the two versions that it had before the value was loaded."""

    tag: str
    hard: str
    soft: str


def pack_stamps(stamps: Sequence[Stamp]) -> bytes:
    """Return stamps as bytes: for each the three lengths, then the three texts.

    Raises:
        SerializationError: they do not fit.
    """
    parts: list[bytes] = []
    for stamp in stamps:
        texts = [text.encode("utf-8", "surrogatepass") for text in stamp]
        try:
            parts += [_SIZES.pack(*map(len, texts)), *texts]
        except struct.error:
            msg = f"a tag of {len(texts[0]):,} bytes is too long for an entry: shorten it"
            raise SerializationError(msg) from None
    packed = b"".join(parts)
    if len(packed) > LONGEST:
        msg = (
            f"{len(stamps)} tags take {len(packed):,} bytes, and {LONGEST:,} fit in an entry: use fewer or shorter ones"
        )
        raise SerializationError(msg)
    return packed


def parse_stamps(packed: bytes) -> tuple[Stamp, ...]:
    """Return what `pack_stamps` was given.

    Raises:
        ValueError: these bytes are something else.
    """
    stamps: list[Stamp] = []
    at = 0
    while at < len(packed):
        try:
            sizes = _SIZES.unpack_from(packed, at)
        except struct.error:
            raise ValueError("a stamp is cut off") from None
        at += _SIZES.size
        texts: list[str] = []
        for size in sizes:
            texts.append(packed[at : at + size].decode("utf-8", "surrogatepass"))
            at += size
        stamps.append(Stamp(*texts))
    if at != len(packed):
        raise ValueError("a stamp is cut off")
    return tuple(stamps)

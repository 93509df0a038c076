"""The frame around every stored value: what it is, when it was made, and how long it is fresh.

A frame describes itself, so that any process can read what any other wrote, whatever serializer each of them uses now.
Numbers are big-endian. Lua scripts compare `id`, and patch `fresh_until` and `retry_at` where they lie, so the first 50
bytes never move, not even in a later version:

    offset  bytes  field
    0       1      version: 1
    1       1      flags: 1 = signed, 2 = the payload is a cached error, 4 = lingers: kept beyond fresh_until,
                   8 = nothing: there is no value under this key, and no payload
    2       32     id: ASCII, the token of the fill that stored it
    34      8      fresh_until: double, Unix seconds; eight zero bytes mean stale at once          may be patched
    42      8      retry_at: double, Unix seconds; no refresh is tried before                      may be patched
    50      8      created: double, Unix seconds
    58      4      load_time: float, seconds that the loader took
    62      4      length: bytes of the payload before compression
    66      4      size: bytes of the payload as stored
    70      2      bytes of all stamps
    72      1      bytes of the serializer's name
    73      1      bytes of the compression's name, 0 = not compressed
    74             the two names: ASCII
                   the stamps, each: 2 bytes length of the tag, 1 of hard, 1 of soft, then the three texts in UTF-8
            32     only if signed: HMAC-SHA256
                   the payload

SETRANGE and GETRANGE count as above; `string.sub` in Lua counts from one, so the id is ``sub(v, 3, 34)``.

The signature covers the Redis key and every byte but itself, `fresh_until` and `retry_at`, which scripts patch without
knowing a secret. Who can write to Redis but has no secret can therefore do two things to a signed entry: set its two
instants, that is, make it stale early or keep it fresh until its TTL ends; and put back an older frame of the same key.
Never another value under a key, never a payload of their own.

`unpack` answers every input with a frame or with `Unreadable`.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from typing import Final

import msgspec

from holdfast.errors import SerializationError
from holdfast.policy.stamps import Stamp, pack_stamps, parse_stamps

VERSION: Final = 1
ID_OFFSET: Final = 2
ID_SIZE: Final = 32
FRESH_UNTIL_OFFSET: Final = 34
RETRY_AT_OFFSET: Final = 42
INSTANT_SIZE: Final = 8
STALE: Final = bytes(INSTANT_SIZE)
"""What a script writes over `fresh_until` to make an entry stale at once."""

_SIGNED: Final = 1
_ERROR: Final = 2
_LINGERS: Final = 4
_NOTHING: Final = 8
_PLAIN: Final = VERSION << 8
"""Version and flags of a frame that is neither signed nor an error and does not linger, read as one number."""
_PLAIN_MARK: Final = _PLAIN.to_bytes(2, "big")
_SIZE_OFFSET: Final = 66
_STAMPED_OFFSET: Final = 70
_HEAD: Final = struct.Struct(">H32sdddfIIHBB")
_read_head = _HEAD.unpack_from
_HEAD_SIZE: Final = _HEAD.size
_CREATED_OFFSET: Final = RETRY_AT_OFFSET + INSTANT_SIZE
_NAMES_OFFSET: Final = _HEAD_SIZE - 2
_INSTANT: Final = struct.Struct(">d")
_MAC_SIZE: Final = 32
_DOMAIN: Final = b"holdfast frame 1\0"
_NAME_LIMIT: Final = 32
_PAYLOAD_LIMIT: Final = 512 * 1024 * 1024
"""The longest string that Redis accepts by default."""


class Unreadable(Exception):  # noqa: N818 - what was found, not a failure of ours; the core turns it into a miss
    """An entry that cannot be used.

    Attributes:
        reason: one word or two, for the event: ``"version"``, ``"truncated"``, ``"malformed"``, ``"unsigned"``,
            ``"signature"``; from the codec also ``"serializer"``, ``"compression"``, ``"too large"``, ``"payload"``,
            ``"error"``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A stored value with what is known about it; the payload is still encoded.

    A Struct, because every hit makes one and a named tuple takes longer.
    """

    id: str
    """The token of the fill that stored it: 32 ASCII characters; NULs if it was packed with an empty one."""
    fresh_until: float
    """Unix seconds; from then on the value is stale."""
    retry_at: float
    """Unix seconds; no refresh is tried before. 0 = at any time."""
    created: float
    """Unix seconds at which the value was loaded."""
    load_time: float
    """Seconds that the loader took, in single precision."""
    serializer: str
    """The name of the serializer that made the payload."""
    compression: str
    """The name of the compression, or ``""``."""
    length: int
    """Bytes of the payload before compression."""
    stamps: tuple[Stamp, ...]
    """The tags, with their versions before the load."""
    is_error: bool
    """Whether the payload is an exception that the loader raised."""
    signed: bool
    """Whether a signature was found *and verified*. `pack` ignores it: it signs if it gets a secret."""
    payload: bytes
    """The value, serialized and perhaps compressed."""
    lingers: bool = False
    """Whether Redis keeps it beyond `fresh_until`: then only the clock tells whether it is fresh."""
    is_nothing: bool = False
    """Whether it says that the source has no value for this key."""


def pack(frame: Frame, key: str, secret: bytes | None = None) -> bytes:
    """Return a frame as the bytes to store under `key`, signed if there is a secret.

    Raises:
        SerializationError: the payload is longer than Redis accepts, or the tags do not fit.
        ValueError: the id is neither empty nor 32 ASCII characters, a name is too long or not ASCII, or an instant is
            not finite.
    """
    stamps = pack_stamps(frame.stamps)
    serializer, compression = frame.serializer.encode("ascii"), frame.compression.encode("ascii")
    if not 0 < len(serializer) <= _NAME_LIMIT or len(compression) > _NAME_LIMIT:
        msg = f"the name of a serializer or compression has 1 to {_NAME_LIMIT} characters"
        raise ValueError(msg)
    if len(frame.id) not in {0, ID_SIZE}:
        msg = f"the id of a frame has {ID_SIZE} characters, not {len(frame.id)}"
        raise ValueError(msg)
    if _not_finite(frame.fresh_until, frame.retry_at, frame.created, frame.load_time):
        msg = "the instants of a frame must be finite numbers"
        raise ValueError(msg)
    if max(len(frame.payload), frame.length) > _PAYLOAD_LIMIT:
        msg = f"the value takes {frame.length:,} bytes; Redis accepts {_PAYLOAD_LIMIT:,}: store less, or compress it"
        raise SerializationError(msg)
    flags = (_ERROR if frame.is_error else 0) | (_LINGERS if frame.lingers else 0)
    flags |= _NOTHING if frame.is_nothing else 0
    head = _HEAD.pack(
        _PLAIN | flags | (_SIGNED if secret is not None else 0),
        frame.id.encode("ascii"),
        frame.fresh_until,
        frame.retry_at,
        frame.created,
        frame.load_time,
        frame.length,
        len(frame.payload),
        len(stamps),
        len(serializer),
        len(compression),
    )
    described = b"".join((head, serializer, compression, stamps))
    if secret is None:
        return described + frame.payload
    return b"".join((described, _sign(secret, key, described, frame.payload), frame.payload))


def unpack(raw: bytes, key: str, secrets: Sequence[bytes] = ()) -> Frame:
    """Return the frame that `raw` holds, as it was found under `key`.

    With secrets, the frame must be signed with one of them. Without, a signature is not looked at: a process that has
    no secret yet can read what the rest of a fleet writes, as long as decoding it is safe, which the codec decides.

    Raises:
        Unreadable: and nothing else, whatever the bytes.
    """
    try:
        (
            mark,
            id_,
            fresh_until,
            retry_at,
            created,
            load_time,
            length,
            size,
            stamped,
            serializer_size,
            compression_size,
        ) = _read_head(raw)
    except struct.error:
        raise Unreadable("truncated" if raw[:1] in {b"", b"\1"} else "version") from None
    start = described = _HEAD_SIZE + serializer_size + compression_size
    stamps: tuple[Stamp, ...] = ()
    flags, verified = 0, False
    if mark != _PLAIN or stamped or secrets:
        start, stamps, flags, verified = _unpack_rest(raw, key, secrets, mark, described, stamped, size)
    payload = raw[start:]
    # A sum tells whether all four are finite: infinity and NaN spread, and x - x is zero only of a finite number.
    total = fresh_until + retry_at + created + load_time
    if len(payload) != size or total - total:
        raise Unreadable("truncated" if len(payload) < size else "malformed")
    try:
        serializer, compression = _names_seen.get(raw[_NAMES_OFFSET:described]) or _parse_names(
            raw[_NAMES_OFFSET:described]
        )
        return Frame(
            id_.decode("ascii"),
            fresh_until,
            retry_at,
            created,
            load_time,
            serializer,
            compression,
            length,
            stamps,
            bool(flags & _ERROR),
            verified,
            payload,
            bool(flags & _LINGERS),
            bool(flags & _NOTHING),
        )
    except UnicodeDecodeError:
        raise Unreadable("malformed") from None


def plain_names(serializer: str) -> bytes:
    """Return what stands at the names of a frame without stamps and compression, for `plain_payload`."""
    name = serializer.encode("ascii")
    return bytes((0, 0, len(name), 0)) + name


def plain_payload(raw: bytes, names: bytes) -> bytes | None:
    """Return the payload of a frame that is neither signed, tagged, compressed nor an error, or None for any other.

    Also None for one that lingers: its payload must not be used before somebody looked at the clock. Nearly every hit
    is one of these. Three comparisons and a slice say so, where `unpack` takes the whole head apart.
    """
    start = _STAMPED_OFFSET + len(names)
    if (
        raw[:2] == _PLAIN_MARK
        and raw[_STAMPED_OFFSET:start] == names
        and raw[_SIZE_OFFSET:_STAMPED_OFFSET] == (len(raw) - start).to_bytes(4, "big")
    ):
        return raw[start:]
    return None


def is_frame(raw: bytes) -> bool:
    """Say whether bytes are as long as a frame is and say that they are one; `unpack` looks closer."""
    return len(raw) >= _HEAD_SIZE and raw[0] == VERSION


def own_payload_start(raw: bytes, serializer: str) -> int:
    """Return where the payload begins in a frame that is known to be sound.

    0 if there is none, or if it is compressed or another's.
    """
    start = _NAMES_OFFSET + 2
    if raw[1] & _NOTHING or raw[start - 1] or raw[start : start + raw[start - 2]] != serializer.encode("ascii"):
        return 0
    return len(raw) - int.from_bytes(raw[_SIZE_OFFSET:_STAMPED_OFFSET], "big")


def _unpack_rest(
    raw: bytes, key: str, secrets: Sequence[bytes], mark: int, described: int, stamped: int, size: int
) -> tuple[int, tuple[Stamp, ...], int, bool]:
    """Return what only some frames have: where the payload starts, stamps, flags, and whether it is verified."""
    if mark >> 8 != VERSION:
        raise Unreadable("version")
    signed = bool(mark & _SIGNED)
    sealed = described + stamped
    start = sealed + (_MAC_SIZE if signed else 0)
    if len(raw) < start + size:
        raise Unreadable("truncated")
    if mark & 0xFF > _SIGNED | _ERROR | _LINGERS | _NOTHING:
        raise Unreadable("malformed")
    if secrets:
        if not signed:
            raise Unreadable("unsigned")
        _verify(raw, key, secrets, sealed)
    try:
        stamps = parse_stamps(raw[described:sealed])
    except ValueError:
        raise Unreadable("malformed") from None
    return start, stamps, mark & 0xFF, bool(secrets)


def instant(seconds: float) -> bytes:
    """Return Unix seconds as scripts write them over `fresh_until` or `retry_at`."""
    return _INSTANT.pack(seconds)


_names_seen: dict[bytes, tuple[str, str]] = {}
_NAMES_KEPT: Final = 64
"""A few are in use; the bound keeps whoever can write to Redis from filling our memory."""


def _parse_names(field: bytes) -> tuple[str, str]:
    """Return the two names from their lengths and texts, and remember them."""
    if len(field) < 2 + field[0] + field[1]:
        raise Unreadable("truncated")
    if not field[0]:
        raise Unreadable("malformed")
    names = field[2 : 2 + field[0]].decode("ascii"), field[2 + field[0] :].decode("ascii")
    if len(_names_seen) < _NAMES_KEPT:
        _names_seen[field] = names
    return names


def _verify(raw: bytes, key: str, secrets: Sequence[bytes], at: int) -> None:
    """Raise unless the signature at `at` was made with one of the secrets."""
    payload = at + _MAC_SIZE
    for secret in secrets:
        if hmac.compare_digest(_sign(secret, key, raw[:at], raw[payload:]), raw[at:payload]):
            return
    raise Unreadable("signature")


def _sign(secret: bytes, key: str, described: bytes, payload: bytes) -> bytes:
    """Return the signature. The key goes in with its length, so that no two (key, frame) pairs give the same text."""
    name = key.encode("utf-8", "surrogatepass")
    text = (
        _DOMAIN,
        len(name).to_bytes(4, "big"),
        name,
        described[:FRESH_UNTIL_OFFSET],
        described[_CREATED_OFFSET:],
        payload,
    )
    return hmac.digest(secret, b"".join(text), "sha256")


def _not_finite(*numbers: float) -> bool:
    total = sum(numbers)
    return total - total != 0

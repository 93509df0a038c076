"""The frame: what goes in comes out, and whatever else is found is `Unreadable`."""

from __future__ import annotations

import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.errors import SerializationError
from holdfast.policy import frame as module
from holdfast.policy.frame import (
    FRESH_UNTIL_OFFSET,
    ID_OFFSET,
    ID_SIZE,
    INSTANT_SIZE,
    RETRY_AT_OFFSET,
    STALE,
    Frame,
    Unreadable,
    instant,
    pack,
    plain_names,
    plain_payload,
    unpack,
)
from holdfast.policy.stamps import Stamp, parse_stamps

KEY = "shop:cache:{product:7}"
OLD, NEW = b"an old secret of 30 characters", b"a new secret of 30 characters!"
NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=32)
TEXT = st.text(max_size=20)
PATCHABLE = range(FRESH_UNTIL_OFFSET, RETRY_AT_OFFSET + INSTANT_SIZE)


def make(**changes: Any) -> Frame:
    plain = Frame("i" * 32, 200.0, 0.0, 100.0, 0.5, "json", "", 7, (), False, False, b'{"a":1}')
    return msgspec.structs.replace(plain, **changes)


def reason(raw: bytes, key: str = KEY, secrets: tuple[bytes, ...] = ()) -> str:
    with pytest.raises(Unreadable) as caught:
        unpack(raw, key, secrets)
    return caught.value.reason


FRAMES = st.builds(
    Frame,
    id=st.text(st.characters(codec="ascii"), min_size=32, max_size=32),
    fresh_until=st.floats(-1e12, 1e12),
    retry_at=st.floats(-1e12, 1e12),
    created=st.floats(-1e12, 1e12),
    load_time=st.floats(0, 1e6, width=32),
    serializer=NAMES,
    compression=st.just("") | NAMES,
    length=st.integers(0, 2**29),
    stamps=st.lists(st.builds(Stamp, TEXT, TEXT, TEXT), max_size=4).map(tuple),
    is_error=st.booleans(),
    signed=st.just(False),
    payload=st.binary(max_size=100),
    lingers=st.booleans(),
)
TAGGED = make(stamps=(Stamp("category:7", "hard", "soft"), Stamp("ü", "", "x")), compression="zlib", is_error=True)


@given(FRAMES, st.text())
def test_a_frame_comes_back_as_it_was(frame: Frame, key: str) -> None:
    """Every field survives, signed or not; `signed` says that the signature was verified."""
    assert unpack(pack(frame, key), key) == frame
    signed = pack(frame, key, NEW)
    assert unpack(signed, key, (NEW,)) == msgspec.structs.replace(frame, signed=True)
    assert unpack(signed, key) == frame


@given(st.binary(), st.sampled_from([(), (NEW,)]))
@example(b"\1", ())
@example(b"\1\0" + bytes(72), ())
@example(b"\1\0" + bytes(70) + b"\xff\xff", ())
def test_random_bytes_are_unreadable(raw: bytes, secrets: tuple[bytes, ...]) -> None:
    """No bytes raise anything but `Unreadable`."""
    assert reason(raw, secrets=secrets) in {"version", "truncated", "malformed", "unsigned", "signature"}


@given(st.binary(min_size=140, max_size=300))
def test_random_bytes_behind_a_good_start_are_unreadable_or_a_frame(noise: bytes) -> None:
    """A head that is right as far as it goes changes nothing."""
    for flags in range(9):
        try:
            unpack(bytes([1, flags]) + noise, KEY)
        except Unreadable:
            continue


@given(st.data())
def test_noise_in_the_stamps_is_unreadable_or_a_frame(data: st.DataObject) -> None:
    """Stamps with lengths that lie, or text that is not UTF-8, raise nothing else."""
    raw = bytearray(pack(TAGGED, KEY))
    at = data.draw(st.integers(74, len(raw) - len(TAGGED.payload) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    try:
        unpack(bytes(raw), KEY)
    except Unreadable as unreadable:
        assert unreadable.reason == "malformed"  # noqa: PT017 - it may also be a frame


@pytest.mark.parametrize("frame", [make(), TAGGED])
@pytest.mark.parametrize("secret", [None, NEW])
def test_a_frame_cut_anywhere_is_unreadable(frame: Frame, secret: bytes | None) -> None:
    """A truncation is found at every length, with and without tags and signature."""
    raw = pack(frame, KEY, secret)
    secrets = () if secret is None else (secret,)
    assert {reason(raw[:length], secrets=secrets) for length in range(len(raw))} == {"truncated"}
    assert reason(raw + b"!", secrets=secrets) == ("malformed" if secret is None else "signature")


@pytest.mark.parametrize("frame", [make(), TAGGED])
def test_every_flipped_bit_of_a_signed_frame_is_found(frame: Frame) -> None:
    """Only the two instants that scripts patch may change; they stay finite or the frame is refused."""
    raw = pack(frame, KEY, NEW)
    for at in range(len(raw)):
        for bit in range(8):
            damaged = raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]
            if at not in PATCHABLE:
                assert reason(damaged, secrets=(NEW,))
    for at in PATCHABLE:
        unpack(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :], KEY, (NEW,))


def test_the_key_is_part_of_the_signature() -> None:
    """An entry that is moved under another key does not verify, even where key and frame meet differently."""
    raw = pack(make(), KEY, NEW)
    assert reason(raw, KEY + "0", (NEW,)) == "signature"
    assert reason(raw, "", (NEW,)) == "signature"


def test_secrets_rotate() -> None:
    """The first secret signs, each verifies, and one that was taken away does not."""
    raw = pack(make(), KEY, OLD)
    assert unpack(raw, KEY, (NEW, OLD)).signed
    assert reason(raw, secrets=(NEW,)) == "signature"


def test_a_layer_with_secrets_refuses_unsigned_frames() -> None:
    """Leaving the signature out is not a way around it, nor is clearing the flag."""
    assert reason(pack(make(), KEY), secrets=(NEW,)) == "unsigned"
    signed = bytearray(pack(make(), KEY, NEW))
    signed[1] = 0
    assert reason(bytes(signed), secrets=(NEW,)) == "unsigned"


def test_a_signature_that_was_not_checked_does_not_count() -> None:
    """Without secrets a signed frame is read, and said to be unsigned."""
    raw = pack(make(), KEY, NEW)
    assert not unpack(raw, KEY).signed
    assert not unpack(pack(make(signed=True), KEY), KEY).signed


def test_scripts_may_patch_the_two_instants() -> None:
    """What SETRANGE writes at the exported offsets is read back, and the signature still holds."""
    raw = bytearray(pack(make(), KEY, NEW))
    raw[FRESH_UNTIL_OFFSET : FRESH_UNTIL_OFFSET + INSTANT_SIZE] = STALE
    raw[RETRY_AT_OFFSET : RETRY_AT_OFFSET + INSTANT_SIZE] = instant(1234.5)
    patched = unpack(bytes(raw), KEY, (NEW,))
    assert (patched.fresh_until, patched.retry_at, patched.created) == (0.0, 1234.5, 100.0)
    assert raw[ID_OFFSET : ID_OFFSET + ID_SIZE] == b"i" * 32


@pytest.mark.parametrize("wrong", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("at", [FRESH_UNTIL_OFFSET, RETRY_AT_OFFSET, 50])
def test_instants_that_are_no_numbers_are_malformed(wrong: float, at: int) -> None:
    """Infinity and NaN never reach the arithmetic of freshness."""
    raw = bytearray(pack(make(), KEY))
    raw[at : at + 8] = struct.pack(">d", wrong)
    assert reason(bytes(raw)) == "malformed"


def test_the_layout_is_the_documented_one() -> None:
    """Frames of this version are read by scripts and by other releases: not one byte may move."""
    frame = make(stamps=(Stamp("t", "h", "s"),), compression="zlib", retry_at=1.0)
    head = struct.pack(">BB32sdddfIIHBB", 1, 0, b"i" * 32, 200.0, 1.0, 100.0, 0.5, 7, 7, 7, 4, 4)
    assert pack(frame, KEY) == head + b"jsonzlib" + b"\0\1\1\1ths" + b'{"a":1}'
    assert pack(frame, KEY, NEW)[: len(head) + 15] == b"\1\1" + head[2:] + b"jsonzlib" + b"\0\1\1\1ths"
    flags = [
        pack(make(is_error=error, lingers=lingers), KEY)[1] for error in (False, True) for lingers in (False, True)
    ]
    assert flags == [0, 4, 2, 6]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"\2", "version"),
        (b"\2\0" + bytes(200), "version"),
        (b"{", "version"),
        (b"", "truncated"),
        (b"\1", "truncated"),
    ],
)
def test_another_version_is_told_from_a_damaged_frame(start: bytes, expected: str) -> None:
    """The first byte decides, however short the rest is."""
    assert reason(start) == expected


@pytest.mark.parametrize("lingers", [False, True])
def test_who_has_no_secret_cannot_change_whether_an_entry_lingers(lingers: bool) -> None:
    """The flag says that the clock must be asked; it is signed like everything that no script patches."""
    raw = bytearray(pack(make(lingers=lingers), KEY, NEW))
    raw[1] ^= 4
    assert reason(bytes(raw), secrets=(NEW,)) == "signature"


def test_only_entries_that_redis_drops_in_time_are_plain() -> None:
    """A payload taken out without a look at the clock is one that Redis would not have if it were stale."""
    names = plain_names("json")
    assert plain_payload(pack(make(), KEY), names) == b'{"a":1}'
    assert plain_payload(pack(make(lingers=True), KEY), names) is None


def test_unknown_flags_are_malformed() -> None:
    """A flag that this release does not know may change what the rest means."""
    raw = bytearray(pack(make(), KEY))
    raw[1] = 16
    assert reason(bytes(raw)) == "malformed"


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "short"},
        {"id": "ü" * 32},
        {"serializer": ""},
        {"serializer": "x" * 33},
        {"compression": "x" * 33},
        {"fresh_until": math.inf},
        {"load_time": math.nan},
    ],
)
def test_a_frame_that_could_not_be_read_is_not_packed(changes: dict[str, Any]) -> None:
    """What would be unreadable is refused when writing."""
    with pytest.raises(ValueError):  # noqa: PT011 - two kinds of ValueError, no promise about their text
        pack(make(**changes), KEY)


def test_an_entry_that_nobody_filled_may_have_no_id() -> None:
    """An empty id stands for "not the result of a fill"."""
    assert unpack(pack(make(id=""), KEY), KEY).id == "\0" * 32


def test_tags_that_do_not_fit_are_refused() -> None:
    """The message says how much fits, and names no tag."""
    with pytest.raises(SerializationError, match="too long"):
        pack(make(stamps=(Stamp("x" * 70_000, "h", "s"),)), KEY)
    with pytest.raises(SerializationError, match="1000 tags take 105,000 bytes, and 65,535 fit"):
        pack(make(stamps=(Stamp("x" * 99, "h", "s"),) * 1000), KEY)


@pytest.mark.parametrize("packed", [b"\0", b"\0\5\0\0abc", b"\0\1\0\0a\0", b"\0\1\0\0\xff"])
def test_stamps_that_lie_about_their_lengths_are_refused(packed: bytes) -> None:
    """Cut off at any place, or not text."""
    with pytest.raises(ValueError, match=r"cut off|decode"):
        parse_stamps(packed)


def test_a_payload_that_redis_refuses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is that of Redis; the error says what to do."""
    monkeypatch.setattr(module, "_PAYLOAD_LIMIT", 6)
    with pytest.raises(SerializationError, match="store less, or compress it"):
        pack(make(), KEY)


def test_names_from_outside_do_not_fill_the_memory() -> None:
    """Only a bounded number of name pairs is remembered, and the others are read all the same."""
    for number in range(1000):
        name = f"n{number}"
        assert unpack(pack(make(serializer=name), KEY), KEY).serializer == name
    assert len(module._names_seen) <= module._NAMES_KEPT

"""The codec: entries are written with one serializer, read whatever wrote them, and never trusted too far."""

from __future__ import annotations

import os
import pickle
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.codec import NOT_PLAIN, Codec
from holdfast.errors import ConfigurationError, SerializationError
from holdfast.policy.frame import FRESH_UNTIL_OFFSET, STALE, Frame, Unreadable, pack
from holdfast.policy.stamps import Stamp
from holdfast.serializers import Serializers

KEY = "shop:cache:{k}"
SECRET, OTHER = b"a secret of 29 characters....", b"another of 29 characters....."
FACTS: dict[str, Any] = {"id": "i" * 32, "created": 100.0, "fresh_until": 200.0, "load_time": 0.5}
LONG = [{"id": number, "name": "kettle"} for number in range(200)]


class Dangerous:
    """Sets off something as soon as it is unpickled."""

    went_off = False

    def __reduce__(self) -> Any:
        return (setattr, (Dangerous, "went_off", True))


class Shouting:
    """A serializer of a third party, with faults on demand."""

    def dumps(self, value: Any, kind: Any, /) -> bytes:
        if value == "fail":
            raise KeyError(value)
        return value if value == "text" else b"!" + str(value).encode()

    def loads(self, data: bytes, kind: Any, /) -> Any:
        if data == b"!unreadable":
            raise KeyError(data)
        return data[1:].decode()


def codec(name: str = "json", kind: Any = Any, *, registry: Serializers | None = None, **options: Any) -> Codec:
    return Codec(registry or Serializers(), name, kind, **options)


def reason(reader: Codec, raw: bytes, key: str = KEY) -> str:
    with pytest.raises(Unreadable) as caught:
        reader.value(reader.open(key, raw))
    return caught.value.reason


def frame(**changes: Any) -> Frame:
    plain = Frame("i" * 32, 200.0, 0.0, 100.0, 0.5, "json", "", 1, (), False, False, b"1")
    return msgspec.structs.replace(plain, **changes)


@pytest.mark.parametrize("name", ["json", "msgpack", "pickle"])
@pytest.mark.parametrize("compression", [None, "zlib", "zstd", "lz4"])
@pytest.mark.parametrize("secrets", [(), (SECRET, OTHER)])
def test_a_value_comes_back(name: str, compression: str | None, secrets: tuple[bytes, ...]) -> None:
    """Under every serializer and compression, signed or not, with the facts beside it."""
    if name == "pickle":
        secrets = secrets or (SECRET,)
    both = codec(name, compression=compression, secrets=secrets)
    stamps = (Stamp("tag", "h", "s"),)
    raw, copy = both.encode_checked(KEY, LONG, **FACTS, retry_at=7.0, stamps=stamps)
    found = both.open(KEY, raw)
    assert both.value(found) == copy == LONG
    assert copy is not LONG
    assert both.copy_checked(KEY, LONG) == LONG
    assert raw == both.encode(KEY, LONG, **FACTS, retry_at=7.0, stamps=stamps)
    assert (found.serializer, found.compression, found.signed) == (name, compression or "", bool(secrets))
    assert (found.created, found.fresh_until, found.retry_at, found.load_time) == (100.0, 200.0, 7.0, 0.5)
    assert (found.stamps, found.id, found.is_error) == (stamps, "i" * 32, False)
    assert (len(found.payload) < found.length) == (compression is not None)


@pytest.mark.parametrize("kind", [Any, list[dict[str, int | str]]])
def test_entries_stay_readable_while_a_deployment_rolls(kind: Any) -> None:
    """A process reads what others write with another serializer, compression or, where that is safe, secret."""
    writers = [
        codec(name, kind, compression=compression, secrets=secrets)
        for name in ("json", "msgpack")
        for compression in (None, "zlib", "zstd", "lz4")
        for secrets in ((), (SECRET,))
    ]
    entries = [writer.encode(KEY, LONG, **FACTS) for writer in writers]
    reader = codec("msgpack", kind, compression="lz4")
    assert all(reader.value(reader.open(KEY, raw)) == LONG for raw in entries)


def test_pickle_needs_a_secret() -> None:
    """Without one it is refused before anything is stored."""
    with pytest.raises(ConfigurationError, match="give the layer a secret="):
        codec("pickle")


@pytest.mark.parametrize("secrets", [(), (SECRET,)])
@pytest.mark.parametrize("name", ["json", "pickle"])
def test_an_unsigned_pickle_is_never_loaded(name: str, secrets: tuple[bytes, ...]) -> None:
    """Neither as it is nor compressed, nor with a signature that proves nothing, nor with a frame that lies."""
    if name == "pickle" and not secrets:
        return
    payload = pickle.dumps(Dangerous())
    forged = frame(serializer="pickle", payload=payload, length=len(payload))
    small = zlib.compress(payload)
    reader = codec(name, secrets=secrets)
    assert reason(reader, pack(forged, KEY)) == "unsigned"
    assert reason(reader, pack(forged, KEY, b"guessed")) == ("signature" if secrets else "unsigned")
    squeezed = msgspec.structs.replace(forged, payload=small, compression="zlib")
    assert reason(reader, pack(squeezed, KEY)) == "unsigned"
    with pytest.raises(Unreadable, match="unsigned"):
        reader.value(forged)
    assert not Dangerous.went_off


def test_a_signed_pickle_is_read_by_whoever_has_the_secret() -> None:
    """Also by a function that writes JSON; the key is part of what was signed."""
    raw = codec("pickle", secrets=(OTHER,)).encode(KEY, {1, 2}, **FACTS)
    reader = codec("json", secrets=(SECRET, OTHER))
    assert reader.value(reader.open(KEY, raw)) == {1, 2}
    assert reason(reader, raw, "shop:cache:{other}") == "signature"
    assert reason(codec("json", secrets=(SECRET,)), raw) == "signature"


def test_what_says_that_it_needs_a_signature_is_treated_like_pickle() -> None:
    """A third party's serializer may run what it reads, too."""
    registry = Serializers()
    guarded = Shouting()
    guarded.requires_signature = True  # type: ignore[attr-defined]
    registry.register("guarded", guarded)
    with pytest.raises(ConfigurationError, match="serializer='guarded' runs what it reads"):
        codec("guarded", registry=registry)
    assert reason(codec(registry=registry), pack(frame(serializer="guarded"), KEY)) == "unsigned"


def test_an_entry_cannot_make_us_load_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed serializers that no code asked for are not looked at because an entry names them."""
    monkeypatch.setattr("holdfast.serializers.entry_points", lambda **_: pytest.fail("packages were searched"))
    assert reason(codec(), pack(frame(serializer="yaml"), KEY)) == "serializer"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"serializer": "unheard-of"}, "serializer"),
        ({"compression": "unheard-of"}, "compression"),
        ({"compression": "zlib", "payload": b"no zlib"}, "compression"),
        ({"compression": "zlib", "payload": zlib.compress(b"1") + b"!"}, "compression"),
        ({"compression": "zlib", "payload": zlib.compress(bytes(10_000_000)), "length": 10_000_000}, "too large"),
        ({"compression": "zlib", "payload": zlib.compress(bytes(10_000_000)), "length": 1}, "too large"),
        ({"payload": b""}, "payload"),
        ({"payload": b"[" * 100_000}, "payload"),
        ({"payload": b'"text"'}, "payload"),
        ({"payload": b"9" * 10_000}, "payload"),
        ({"serializer": "msgpack", "payload": b"\xc1"}, "payload"),
        ({"serializer": "raw"}, "serializer"),
        ({"is_error": True}, "error"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_unreadable(changes: dict[str, Any], expected: str) -> None:
    """Each with its reason, whether it is the codec's own serializer or not."""
    for name in ("json", "msgpack"):
        assert reason(codec(name, int), pack(frame(**changes), KEY)) == expected


@given(
    st.binary(max_size=200), st.sampled_from(["json", "msgpack", "raw"]), st.sampled_from(["", "zlib", "zstd", "lz4"])
)
def test_any_payload_is_a_value_or_unreadable(payload: bytes, name: str, compression: str) -> None:
    """Decoders and decompressors raise nothing else, for a model either."""
    raw = pack(frame(payload=payload, serializer=name, compression=compression, length=1000), KEY)
    reader = READERS[name]
    try:
        reader.value(reader.open(KEY, raw))
    except Unreadable:
        return


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"secrets": (SECRET,)}])
@pytest.mark.parametrize("value", [1, "x" * 2000])
def test_the_quick_way_gives_what_the_long_way_gives(options: dict[str, Any], value: Any) -> None:
    """Of an entry of the commonest shape only; every other goes the long way, damaged ones too."""
    both = codec(**options)
    raw = both.encode(KEY, value, **FACTS)
    plain = not options.get("secrets") and not both.open(KEY, raw).compression
    assert both.quick(raw) == (value if plain else NOT_PLAIN)
    tagged = both.encode(KEY, value, **FACTS, stamps=(Stamp("t", "h", "s"),))
    lingering = both.encode(KEY, value, **FACTS, lingers=True)
    assert both.open(KEY, lingering).lingers
    others = [pack(frame(is_error=True), KEY), pack(frame(serializer="raw"), KEY), tagged, lingering, raw + b"!"]
    for other in [*others, *(raw[:at] for at in range(78))]:
        assert both.quick(other) is NOT_PLAIN


def test_the_quick_way_is_closed_to_pickle() -> None:
    """A pickle is loaded from a verified frame, and this way verifies nothing."""
    both = codec("pickle", secrets=(SECRET,))
    payload = pickle.dumps(Dangerous())
    assert both.quick(pack(frame(serializer="pickle", payload=payload, length=len(payload)), KEY)) is NOT_PLAIN
    with pytest.raises(Unreadable, match="payload"):
        codec().quick(pack(frame(payload=b"{"), KEY))


def test_a_value_is_compressed_only_where_it_pays() -> None:
    """Short ones, and those that do not shrink, are stored as they are."""
    both = codec("raw", bytes, compression="zlib")
    for value in (b"a" * 500, os.urandom(5000)):
        found = both.open(KEY, both.encode(KEY, value, **FACTS))
        assert (found.compression, found.payload, both.value(found)) == ("", value, value)


def test_an_unknown_name_is_told_when_decorating() -> None:
    """For serializers and compressions alike."""
    with pytest.raises(ConfigurationError, match="serializer='yaml' is not known"):
        codec("yaml")
    with pytest.raises(ConfigurationError, match="compression='gzip' is not known"):
        codec(compression="gzip")


def test_errors_name_the_key_and_the_type_but_no_value() -> None:
    """Whoever reads the log can find the function; secrets of users stay out, in causes too."""
    value = {"password": ["hunter2", object()]}
    for name, kind, stored in [
        ("json", Any, value),
        ("json", dict[str, list[int]], {"password": ["hunter2"]}),
        ("json", dict[str, tuple[str, ...]], {"password": ["hunter2"]}),
        ("msgpack", Any, {"password": ("hunter2",)}),
        ("raw", bytes, "hunter2"),
    ]:
        with pytest.raises(SerializationError) as caught:
            codec(name, kind).encode_checked(KEY, stored, **FACTS)
        text = str(caught.value)
        assert repr(KEY) in text
        assert "hunter2" not in text
        assert "password" not in text
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_place_of_a_misfit_is_told() -> None:
    """The path and the types, from whichever side it was found."""
    with pytest.raises(SerializationError, match=r"\(Expected `int`, got `str` at \$\[...\]; the return type is dict"):
        codec("json", dict[str, int]).encode_checked(KEY, {"a": "x"}, **FACTS)
    with pytest.raises(SerializationError, match=r"\(\[key\]: tuple became list; no return type is known\)"):
        codec().encode_checked(KEY, {"a": (1,)}, **FACTS)


def test_a_third_party_may_fail_in_any_way() -> None:
    """Its errors become ours, when writing and when reading."""
    registry = Serializers()
    registry.register("shout", Shouting())
    shout = codec("shout", registry=registry)
    assert shout.encode_checked(KEY, "hi", **FACTS)[1] == "hi"
    with pytest.raises(SerializationError, match=r"serializer 'shout' failed on a str \(KeyError\)") as caught:
        shout.encode(KEY, "fail", **FACTS)
    assert caught.value.__cause__ is None
    with pytest.raises(SerializationError, match="serializer 'shout' gave str instead of bytes"):
        shout.encode(KEY, "text", **FACTS)
    with pytest.raises(SerializationError, match="decoding it raises KeyError"):
        shout.encode_checked(KEY, "unreadable", **FACTS)
    assert reason(codec(registry=registry), shout.encode(KEY, "unreadable", **FACTS)) == "payload"


def test_raw_gives_bytes_for_any_buffer() -> None:
    """On a miss as on a hit."""
    for value in (b"\0", bytearray(b"\0"), memoryview(b"\0")):
        raw, copy = codec("raw", bytes).encode_checked(KEY, value, **FACTS)
        assert type(copy) is bytes
        assert codec("raw").value(codec("raw").open(KEY, raw)) == b"\0"


def test_scripts_can_make_a_signed_entry_stale() -> None:
    """Zeros over the instant leave the value readable."""
    both = codec(secrets=(SECRET,))
    raw = bytearray(both.encode(KEY, 1, **FACTS))
    raw[FRESH_UNTIL_OFFSET : FRESH_UNTIL_OFFSET + 8] = STALE
    found = both.open(KEY, bytes(raw))
    assert (found.fresh_until, both.value(found)) == (0.0, 1)


def test_a_codec_does_not_show_its_secrets() -> None:
    """Its repr may go to a log."""
    assert "secret" not in repr(codec(secrets=(SECRET,)))


READERS = {
    "json": codec("json", list[int]),
    "msgpack": codec("msgpack", dict[str, set[int]]),
    "raw": codec("raw", bytes),
}


@pytest.mark.parametrize("value", [{"a": [1, {"b": None}]}, [], 7, "text", {"a": LONG}])
def test_callers_that_share_an_entry_get_a_copy_each(value: Any) -> None:
    """However often the very same bytes are read: equal every time, and nothing that can be changed is shared."""
    one = codec()
    raw = one.encode(KEY, value, **FACTS)
    found = [one.quick(raw) for _ in range(4)]
    assert found == [value] * 4
    if isinstance(value, dict | list):
        assert len({id(each) for each in found}) == 4
    other = one.encode(KEY, "other", **FACTS)
    assert (one.quick(other), one.quick(raw), one.quick(bytes(bytearray(raw)))) == ("other", value, value)


def test_only_small_entries_are_held() -> None:
    """The entry that was read last does not keep the memory of a large value."""
    one = codec()
    small, large = one.encode(KEY, 1, **FACTS), one.encode(KEY, "x" * 100_000, **FACTS)
    assert (one.quick(small), one.quick(large)) == (1, "x" * 100_000)
    assert one._seen[0] is small


@pytest.mark.parametrize("name", ["json", "msgpack", "tagged"])
def test_whether_an_entry_holds_a_value(name: str) -> None:
    """Told by its bytes, without decoding: of our own formats, and of whatever is registered in their place never."""
    writer = codec(name)
    raw = writer.encode(KEY, {"a": [1, 2]}, **FACTS)
    assert (writer.holds(raw, {"a": [1, 2]}), writer.holds(raw, {"a": [1]})) == (True, False)
    assert writer.holds(raw, {"a": object()}) is False
    assert writer.holds(b"damaged", {"a": [1, 2]}) is None
    registry = Serializers()
    registry.register(name, Shouting(), replace=True)
    assert codec(name, registry=registry).holds(raw, {"a": [1, 2]}) is None

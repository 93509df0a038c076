"""Entries that say that there is no value: only who knows of them reads them as that."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import MISSING
from holdfast.codec import NOT_PLAIN, Codec
from holdfast.policy.frame import Unreadable, own_payload_start
from holdfast.policy.stamps import Stamp
from holdfast.serializers import Serializers

FACTS: dict[str, Any] = {"id": "t" * 32, "created": 1.0, "fresh_until": 2.0, "load_time": 0.5}
SECRET = (b"a secret of sixteen bytes",)


@pytest.mark.parametrize("secrets", [(), SECRET])
@pytest.mark.parametrize("serializer", ["json", "raw", "msgpack"])
def test_nothing_is_missing_or_unreadable(serializer: str, secrets: tuple[bytes, ...]) -> None:
    """A codec that knows of it reads `MISSING`; to any other one there is no value, and no shortcut finds one."""
    knowing = Codec(Serializers(), serializer, Any, secrets=secrets, nothing=True)
    other = Codec(Serializers(), serializer, Any, secrets=secrets)
    raw = knowing.encode_nothing("key", stamps=[Stamp("tag", "h", "s")], **FACTS)
    frame = other.open("key", raw)
    assert (frame.is_nothing, frame.is_error, frame.payload, frame.id) == (True, False, b"", "t" * 32)
    assert frame.stamps == (Stamp("tag", "h", "s"),)
    assert knowing.value(frame) is MISSING
    assert knowing.quick(raw) is other.quick(raw) is NOT_PLAIN
    assert own_payload_start(raw, serializer) == 0
    for read in (other.value, lambda frame: other.error(frame, (Exception,))):
        with pytest.raises(Unreadable):
            read(frame)


def test_nothing_cannot_be_made_of_a_signed_value() -> None:
    """The flag is signed with the rest: who has no secret cannot hide a value."""
    codec = Codec(Serializers(), "json", Any, secrets=SECRET, nothing=True)
    raw = bytearray(codec.encode("key", 1, **FACTS))
    raw[1] |= 8
    with pytest.raises(Unreadable, match="signature"):
        codec.open("key", bytes(raw))

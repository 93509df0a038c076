"""The secrets of a layer: several forms in, bytes out, and never shown."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.codec import parse_secrets
from holdfast.errors import ConfigurationError

SECRET = b"a secret of 29 characters...."


@pytest.mark.parametrize(
    "secret", ["short", b"15 bytes long..", "", b"", [], [SECRET, b"short"], (), 5, [None], {SECRET: 1}, [[SECRET]]]
)
def test_a_weak_secret_is_refused_and_not_shown(secret: Any) -> None:
    """The message says what it must be."""
    with pytest.raises(ConfigurationError, match="at least 16 bytes") as caught:
        parse_secrets(secret)
    assert "15 bytes" not in str(caught.value)
    assert "short" not in str(caught.value)


@pytest.mark.parametrize(
    ("secret", "parsed"),
    [
        (None, ()),
        ("sixteen letters!", (b"sixteen letters!",)),
        ("acht Umläuteääää", ("acht Umläuteääää".encode(),)),
        (SECRET, (SECRET,)),
        ([SECRET, "sixteen letters!"], (SECRET, b"sixteen letters!")),
        ("\udc80" * 6, (b"\xed\xb2\x80" * 6,)),
    ],
)
def test_secrets_are_text_or_bytes_or_several(secret: Any, parsed: tuple[bytes, ...]) -> None:
    """The order stays."""
    assert parse_secrets(secret) == parsed

"""Cached errors: stored as a name and plain arguments, and rebuilt only from classes that the function allows."""

from __future__ import annotations

import gc
from typing import Any

import msgspec
import pytest

from holdfast.codec import Codec
from holdfast.policy.frame import Unreadable
from holdfast.serializers import Serializers

KEY = "shop:cache:{k}"
SECRET = b"a secret of 29 characters...."
FACTS: dict[str, Any] = {"id": "i" * 32, "created": 100.0, "fresh_until": 200.0, "load_time": 0.5}


class NotFound(Exception):  # noqa: N818 - the name says what happened, as users' own do
    pass


class Gone(NotFound):
    pass


class Coded(NotFound):
    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Stateful(NotFound):
    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.when = 0


class Failing(NotFound):
    def __init__(self, text: str) -> None:
        if text != "fine":
            raise RuntimeError
        super().__init__(text)


CODEC = Codec(Serializers(), "msgpack", int, compression="zlib", secrets=(SECRET,))


def round_trip(error: BaseException, allowed: tuple[type[BaseException], ...]) -> BaseException | None:
    raw = CODEC.encode_error(KEY, error, allowed, **FACTS)
    if raw is None:
        return None
    frame = CODEC.open(KEY, raw)
    assert frame.is_error
    assert frame.signed
    return CODEC.error(frame, allowed)


@pytest.mark.parametrize(
    "error",
    [
        NotFound(),
        NotFound("no such product", 7, 1.5, True, None),
        Gone("x"),
        Stateful(1),
        NotFound("x" * 5000),
        Failing("fine"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_as_it_was(error: Exception) -> None:
    """Same class, same arguments, same attributes; notes and tracebacks do not count."""
    error.add_note("seen by the loader")
    copy = round_trip(error, (KeyError, NotFound))
    assert type(copy) is type(error)
    assert copy.args == error.args
    assert copy is not error


def changed(error: Stateful) -> Stateful:
    error.when = 5
    return error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("not allowed"),
        NotFound(object()),
        NotFound([1]),
        NotFound(float("nan"), float("inf")),
        NotFound("\ud800"),
        NotFound(b"bytes"),
        Coded(404),
        changed(Stateful(1)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_would_not_come_back_is_not_stored(error: Exception) -> None:
    """It is raised to its callers as always; there is just no entry."""
    assert round_trip(error, (NotFound,)) is None


def test_a_name_that_two_classes_share_stands_for_neither() -> None:
    """Which one an entry means cannot be told; a class that is gone stands for nothing."""
    raw = CODEC.encode_error(KEY, Gone("x"), (NotFound,), **FACTS)
    assert raw
    twin = type("Gone", (NotFound,), {"__module__": __name__, "__qualname__": "Gone"})
    assert round_trip(twin("x"), (NotFound,)) is None
    with pytest.raises(Unreadable, match="error"):
        CODEC.error(CODEC.open(KEY, raw), (NotFound,))
    del twin
    gc.collect()
    assert isinstance(CODEC.error(CODEC.open(KEY, raw), (NotFound,)), Gone)


def test_a_class_that_fails_later_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its constructor raises."""
    raw = CODEC.encode_error(KEY, Gone("x"), (NotFound,), **FACTS)
    assert raw

    def refuse(self: Gone, *args: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(Gone, "__init__", refuse)
    with pytest.raises(Unreadable, match="error"):
        CODEC.error(CODEC.open(KEY, raw), (NotFound,))


def test_only_allowed_classes_are_made() -> None:
    """An entry that names another class makes nothing, and imports nothing."""
    raw = CODEC.encode_error(KEY, Gone("x"), (NotFound,), **FACTS)
    assert raw
    for allowed in ((), (KeyError,), (Coded,)):
        with pytest.raises(Unreadable, match="error"):
            CODEC.error(CODEC.open(KEY, raw), allowed)


def test_a_value_is_no_error_and_an_error_no_value() -> None:
    """Each is read by its own method."""
    raw = CODEC.encode_error(KEY, Gone("x"), (NotFound,), **FACTS)
    assert raw
    with pytest.raises(Unreadable, match="error"):
        CODEC.value(CODEC.open(KEY, raw))
    value = CODEC.open(KEY, CODEC.encode(KEY, 1, **FACTS))
    value = msgspec.structs.replace(value, payload=CODEC.open(KEY, raw).payload)
    with pytest.raises(Unreadable, match="error"):
        CODEC.error(value, (NotFound,))

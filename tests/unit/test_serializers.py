"""The registry of serializers, and the two that are not typed: pickle and raw."""

from __future__ import annotations

import threading
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from holdfast import serializers as module
from holdfast.errors import ConfigurationError, SerializationError
from holdfast.serializers import Serializers, compile_for, needs_signature


class Upper:
    """A serializer of a third party."""

    def dumps(self, value: Any, kind: Any, /) -> bytes:
        return str(value).upper().encode()

    def loads(self, data: bytes, kind: Any, /) -> Any:
        return data.decode()


class Picky(Upper):
    def check(self, kind: Any) -> None:
        if kind is not str:
            raise ConfigurationError("text only")


def offer(monkeypatch: pytest.MonkeyPatch, **values: str) -> list[str]:
    """Let installed packages offer serializers; return the groups that were asked for."""
    asked: list[str] = []

    def entry_points(*, group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint(name, f"{__name__}:{value}", group) for name, value in values.items()]

    monkeypatch.setattr(module, "entry_points", entry_points)
    return asked


@pytest.mark.parametrize("name", ["json", "msgpack", "pickle", "raw", "tagged"])
def test_five_are_always_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are found without looking at the installed packages."""
    asked = offer(monkeypatch)
    assert Serializers().get(name) is not None
    assert asked == []


def test_an_unknown_name_is_told_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message lists what there is, offered by packages or not."""
    offer(monkeypatch, upper="Upper")
    with pytest.raises(ConfigurationError, match=r"'yaml' is not known: use one of 'json', .*'raw', 'tagged', 'upper'"):
        Serializers().get("yaml")


def test_one_can_be_registered() -> None:
    """It belongs to that registry alone."""
    mine, other = Serializers(), Serializers()
    upper = Upper()
    mine.register("upper", upper)
    assert mine.get("upper") is upper
    with pytest.raises(ConfigurationError):
        other.get("upper")


def test_replacing_one_has_to_be_said() -> None:
    """A second registration is a mistake unless it says `replace`."""
    registry = Serializers()
    with pytest.raises(ConfigurationError, match="registered already"):
        registry.register("json", Upper())
    registry.register("json", Upper(), replace=True)
    assert compile_for(registry.get("json"), Any).dumps("a") == b"A"


@pytest.mark.parametrize("name", ["", "ü", "a b", "x" * 33, "a:b"])
def test_a_name_must_fit_into_a_frame(name: str) -> None:
    """It is written into every entry."""
    with pytest.raises(ConfigurationError, match="use 1 to 32 letters"):
        Serializers().register(name, Upper())


@pytest.mark.parametrize("what", [object(), Upper, None])
def test_what_is_registered_must_serialize(what: Any) -> None:
    """A class is not an object, and an object needs both methods."""
    with pytest.raises(ConfigurationError, match=r"must be an object with dumps\(value, kind\)"):
        Serializers().register("mine", what)


@pytest.mark.parametrize("value", ["Upper", "UPPER"])
def test_a_package_can_offer_one(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A class is called, an object is taken; the packages are asked once, at the first name that is not known."""
    asked = offer(monkeypatch, upper=value, broken="Missing")
    registry = Serializers()
    assert registry.find("upper") is None
    upper = registry.get("upper")
    assert compile_for(upper, Any).loads(b"x") == "x"
    assert registry.get("upper") is registry.find("upper") is upper
    with pytest.raises(ConfigurationError):
        registry.get("other")
    assert asked == ["holdfast.serializers"]


def test_an_offer_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is named, and the others still work."""
    offer(monkeypatch, missing="Missing", wrong="FACT", upper="Upper")
    registry = Serializers()
    with pytest.raises(ConfigurationError, match=r"test_serializers:Missing cannot be loaded \(AttributeError\)"):
        registry.get("missing")
    with pytest.raises(ConfigurationError, match=r"test_serializers:FACT lacks dumps"):
        registry.get("wrong")
    assert registry.get("upper")


def test_threads_get_one_and_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that ask for an offered one at the same time share it."""
    offer(monkeypatch, upper="Upper")
    registry = Serializers()
    barrier = threading.Barrier(8)
    got: list[Any] = []

    def ask() -> None:
        barrier.wait(5)
        got.append(registry.get("upper"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(got) == 8
    assert len(set(map(id, got))) == 1


def test_a_serializer_may_refuse_a_type() -> None:
    """Its `check` runs when decorating."""
    compile_for(Picky(), str)
    with pytest.raises(ConfigurationError, match="text only"):
        compile_for(Picky(), int)


def test_types_are_compiled_once() -> None:
    """All functions of a layer that return one type share one decoder."""
    json = Serializers().get("json")
    assert compile_for(json, dict[str, int]).loads is compile_for(json, dict[str, int]).loads


@pytest.mark.parametrize("name", ["json", "msgpack"])
def test_the_protocol_works_without_a_codec(name: str) -> None:
    """`dumps` and `loads` take the type each time, as those of third parties do."""
    serializer: Any = Serializers().get(name)
    assert serializer.loads(serializer.dumps({1, 2}, set[int]), set[int]) == {1, 2}
    serializer.check(int)
    with pytest.raises(ConfigurationError):
        serializer.check(complex)


def test_pickle_needs_a_signature_under_any_implementation() -> None:
    """So does what says of itself that it does."""

    class Guarded(Upper):
        requires_signature = True

    registry = Serializers()
    assert needs_signature("pickle", registry.get("pickle"))
    assert needs_signature("pickle", Upper())
    assert needs_signature("mine", Guarded())
    assert not needs_signature("json", registry.get("json"))
    assert not needs_signature("mine", Upper())


def test_pickle_says_what_it_cannot_store() -> None:
    """The type is named, the value is not."""
    with pytest.raises(SerializationError, match=r"pickle cannot store this list \(\w+\)") as caught:
        Serializers().get("pickle").dumps([lambda: "hunter2"], Any)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("value", [b"\0\xff", bytearray(b"\0\xff"), memoryview(b"\0\xff")])
def test_raw_takes_buffers_and_gives_bytes(value: Any) -> None:
    """Nothing is added and nothing is lost."""
    dumps, loads = compile_for(Serializers().get("raw"), bytes)
    assert type(dumps(value)) is bytes
    assert loads(dumps(value)) == b"\0\xff"


def test_raw_takes_nothing_else() -> None:
    """Neither as a value nor as a type."""
    raw = Serializers().get("raw")
    with pytest.raises(SerializationError, match="raw stores bytes, not a str"):
        raw.dumps("text", bytes)
    for kind in (str, bytes | None, list[bytes], bytearray):
        with pytest.raises(ConfigurationError, match="raw stores bytes, and the function returns"):
            compile_for(raw, kind)
    compile_for(raw, Any)


UPPER = Upper()
FACT = 7

"""A hit returns what a miss returned: equal, of the same type, and nobody else's object."""

from __future__ import annotations

import datetime
import enum
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from holdfast import Layer, SerializationError, entries
from support.colours import Colour
from support.topologies import Topology

SECRET = "a secret of at least sixteen bytes"
NOON = datetime.datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=datetime.UTC)


class Colour4(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclass
class Point:
    x: int
    y: float = 0.5
    seen: datetime.datetime = NOON
    tags: set[str] = field(default_factory=lambda: {"a", "b"})


class Row(TypedDict):
    id: uuid.UUID
    price: Decimal
    parts: list[Point]


class Item(msgspec.Struct):
    name: str
    price: Decimal
    colour: Colour4 = Colour4.RED


class Model(pydantic.BaseModel):
    name: str
    at: datetime.datetime
    inner: dict[str, list[int]]


@attrs.define
class Attr:
    a: int
    b: tuple[int, str]


class Pair(NamedTuple):
    left: int
    right: str


ID = uuid.UUID(int=7)
VALUES: list[tuple[Any, Any]] = [
    (None, None),
    (bool, False),
    (int, 0),
    (int, 2**70),
    (float, 1e300),
    (str, ""),
    (str, "123"),
    (str, "null"),
    (str, "\N{SNOWMAN}\x00\n"),
    (bytes, b""),
    (bytes, b"\x00\xff123"),
    (list[int], []),
    (dict[str, int], {}),
    (dict[int, str], {1: "a"}),
    (set[int], {1, 2}),
    (frozenset[str], frozenset({"a"})),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (datetime.datetime, NOON),
    (datetime.datetime, NOON.replace(tzinfo=None)),
    (datetime.date, NOON.date()),
    (datetime.timedelta, datetime.timedelta(days=1, microseconds=5)),
    (Decimal, Decimal("1.10")),
    (uuid.UUID, ID),
    (Colour4, Colour4.RED),
    (Level, Level.HIGH),
    (Point, Point(1)),
    (Row, {"id": ID, "price": Decimal("0.30"), "parts": [Point(2)]}),
    (Item, Item("a", Decimal("9.99"))),
    (Model, Model(name="m", at=NOON, inner={"a": [1]})),
    (Attr, Attr(1, (2, "b"))),
    (Pair, Pair(1, "r")),
    (list[Model], [Model(name="m", at=NOON, inner={})]),
    (dict[str, list[Point | None]], {"a": [None, Point(3)]}),
    (Point | None, None),
    (Any, {"a": [1, 2.5, None, True, "x"]}),
]


def returning(colour: Colour, kind: Any, value: Any) -> Callable[[int], Any]:
    """Return a function whose return annotation is `kind`."""

    async def function(number: int) -> Any:
        return value

    made = colour.function(function)
    made.__annotations__["return"] = kind
    return made


@pytest.mark.parametrize("serializer", ["json", "msgpack", "pickle"])
def test_a_value_comes_back_as_it_was(colour: Colour, topology: Topology, namespace: str, serializer: str) -> None:
    """Equal and of the same type, on the miss and on the hit, signed and with every serializer."""

    async def scenario() -> None:
        layer = Layer(topology.url, namespace=namespace, serializer=serializer, secret=SECRET)
        async with colour.using(layer):
            for index, (kind, value) in enumerate(VALUES):
                if serializer == "msgpack" and value == 2**70:
                    continue  # MessagePack has no such int
                function = layer.cached(60, key=f"value-{index}:{{number}}")(returning(colour, kind, value))
                miss = await colour.call(function, 1)
                hit = await colour.call(function, 1)
                got = await colour.of(entries(function)).get(1)
                assert miss == hit == got == value, kind
                assert type(miss) is type(hit) is type(got) is type(value), kind
                assert layer.stats().hits == layer.stats().fills * 2

    colour.run(scenario)


def test_both_colours_read_each_others_entries(topology: Topology, namespace: str) -> None:
    """The same program text, plain and async, has the same keys; what one stored is a hit for the other."""
    with Layer(topology.url, namespace=namespace) as layer:
        colours = [Colour("sync"), Colour("async")]
        for index, (kind, value) in enumerate(VALUES):
            for writer, reader in (colours, colours[::-1]):
                name = f"value-{index}-{writer.name}"
                written = layer.cached(60, key=f"{name}:{{number}}")(returning(writer, kind, value))
                read = layer.cached(60, key=f"{name}:{{number}}")(returning(reader, kind, "not called"))
                assert entries(written).key(1) == entries(read).key(1)

                async def scenario(colour: Colour, function: Callable[..., Any]) -> Any:
                    return await colour.call(function, 1)

                assert writer.run(lambda: scenario(writer, written)) == value  # noqa: B023 - run at once
                got = reader.run(lambda: scenario(reader, read))  # noqa: B023 - run at once
                assert (type(got), got) == (type(value), value)


def test_without_a_key_the_name_of_the_function_and_its_arguments_are_the_key(namespace: str) -> None:
    """A plain and an async function of one name and module share entries: the colour is not part of the key."""
    with Layer(namespace=namespace) as layer:
        plain = layer.cached(60)(_twin_of("sync"))
        awaited = layer.cached(60)(_twin_of("async"))
        assert entries(plain).key(1, b="x") == entries(awaited).key(b="x", a=1)


def _twin_of(colour: str) -> Callable[..., Any]:
    async def twin(a: int, b: str = "x") -> str:
        return f"{a}{b}"

    return Colour(colour).function(twin)


@pytest.mark.parametrize("verb", ["call", "refresh", "get_or_load"])
def test_nobody_shares_a_mutable_object_with_the_cache(colour: Colour, namespace: str, verb: str) -> None:
    """The function's own object, the result of the miss and that of the hit are three objects."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            own = {"list": [1]}

            async def shared(number: int) -> dict[str, list[int]]:
                return own

            function = layer.cached(60, key="shared:{number}")(colour.function(shared))
            handle, cache = colour.of(entries(function)), colour.of(layer.cache)
            if verb == "call":
                first = await colour.call(function, 1)
            elif verb == "refresh":
                first = await handle.refresh(1)
            else:
                first = await cache.get_or_load("shared:1", lambda: own, 60)
            first["list"].append(2)
            own["list"].append(3)
            second = await colour.call(function, 1)
            assert second == {"list": [1]}
            second["list"].append(4)
            assert await colour.call(function, 1) == {"list": [1]}
            value = [1]
            await cache.set("mine", value, 60)
            value.append(2)
            assert await cache.get("mine") == [1]

    colour.run(scenario)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Any, (1, 2)), (list[int], [1, "x"]), (Any, NOON), (Point, {"x": 1}), (Any, object()), (int, "1")],
)
def test_what_would_come_back_different_is_an_error_at_the_first_call(
    colour: Colour, namespace: str, kind: Any, value: Any
) -> None:
    """A wrong or missing annotation shows on the miss, not in production on the hit; nothing is stored."""

    async def scenario() -> None:
        async with colour.using(Layer(namespace=namespace)) as layer:
            function = layer.cached(60, key="wrong:{number}")(returning(colour, kind, value))
            for _ in range(2):
                with pytest.raises(SerializationError, match=r"cannot store '.*wrong:1\}'"):
                    await colour.call(function, 1)
            assert layer.stats().fills == 0

    colour.run(scenario)


def test_raw_keeps_bytes(colour: Colour, topology: Topology, namespace: str) -> None:
    """`serializer="raw"` stores bytes as they are, and buffers come back as bytes on the miss already."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            for index, value in enumerate([b"", b"\x00\xff", bytearray(b"ab"), memoryview(b"cd")]):
                function = layer.cached(60, key=f"raw{index}:{{number}}", serializer="raw")(
                    returning(colour, bytes, value)
                )
                for _ in range(2):
                    got = await colour.call(function, 1)
                    assert (type(got), got) == (bytes, bytes(value))

    colour.run(scenario)


@pytest.mark.parametrize("compression", ["zlib", "zstd", "lz4"])
def test_compressed_values_come_back(colour: Colour, topology: Topology, namespace: str, compression: str) -> None:
    """A value that compresses is smaller in Redis, whatever compression a reader prefers."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            text = "many words " * 1000
            function = layer.cached(60, key="long:{number}", compression=compression)(returning(colour, str, text))
            other = layer.cached(60, key="long:{number}")(returning(colour, str, "not called"))
            assert await colour.call(function, 1) == await colour.call(other, 1) == text
            info = await colour.of(entries(function)).info(1)
            assert info.size < len(text) / 5

    colour.run(scenario)

"""Entries that somebody else wrote, or that are damaged, forged or old: misses with an event, and overwritten."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from holdfast import MISSING, BackendError, Layer, entries
from holdfast.events import EntryUnreadable, Event, Miss
from holdfast.policy.frame import pack, unpack
from support.colours import Colour
from support.topologies import Topology

SECRET, OLDER, OTHER = "the newest secret of ours", "an older secret of ours", "the secret of somebody else"


def node_of(topology: Topology, key: str) -> redis.Redis:
    """Return a plain client of the node that owns a key."""
    for node in topology.nodes:
        try:
            node.client.exists(key)
        except redis.ResponseError:  # MOVED
            continue
        return node.client
    raise AssertionError(key)


class Bomb:
    """Unpickling one creates a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def numbers(colour: Colour, layer: Layer, **options: Any) -> Callable[..., Any]:
    async def double(number: int) -> int:
        return 2 * number

    return layer.cached(60, key="double:{number}", **options)(colour.function(double))


def whole_entry(key: str, secret: str | None = None) -> bytes:
    with Layer(secret=secret) as layer:
        codec = layer.engine.codec(None, None, int)
        return codec.encode(key, 7, id="x" * 32, created=1e9, fresh_until=4e9, load_time=0.5)


def changed(raw: bytes, **fields: Any) -> Callable[[str], bytes]:
    """Return an entry of the same value with other fields, without a signature."""

    def make(key: str) -> bytes:
        frame = unpack(raw, key)
        values = {name: getattr(frame, name) for name in type(frame).__struct_fields__} | fields
        return pack(type(frame)(**values), key)

    return make


ENTRY = whole_entry("")
PLANTED: dict[str, tuple[Callable[[str], bytes], str]] = {
    "empty": (lambda key: b"", "truncated"),
    "text": (lambda key: b"hello", "version"),
    "number": (lambda key: b"42", "version"),
    "json": (lambda key: b'{"value": 14}' * 20, "version"),
    "another library's pickle": (lambda key: pickle.dumps({"value": 14} | {str(n): n for n in range(50)}), "version"),
    "another version": (lambda key: b"\x02" + whole_entry(key)[1:], "version"),
    "head only": (lambda key: whole_entry(key)[:50], "truncated"),
    "cut off": (lambda key: whole_entry(key)[:-1], "truncated"),
    "with a tail": (lambda key: whole_entry(key) + b"x", "malformed"),
    "unknown flags": (lambda key: whole_entry(key)[:1] + b"\x80" + whole_entry(key)[2:], "malformed"),
    "unknown serializer": (changed(ENTRY, serializer="yaml"), "serializer"),
    "unknown compression": (changed(ENTRY, compression="rar"), "compression"),
    "damaged compression": (changed(ENTRY, compression="zlib", length=100), "compression"),
    "another type": (changed(ENTRY, payload=b'"text"'), "payload"),
    "damaged payload": (changed(ENTRY, payload=b"\xff"), "payload"),
    "an error that nobody keeps": (changed(ENTRY, is_error=True), "error"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_cannot_be_read_is_a_miss_and_overwritten(
    colour: Colour, server_topology: Topology, namespace: str, name: str
) -> None:
    """The call loads and stores, an event says why, every other reader finds nothing, and the next call is a hit."""
    make, reason = PLANTED[name]

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            told: list[Event] = []
            function = numbers(colour, layer)
            handle, cache = colour.of(entries(function)), colour.of(layer.cache)
            key = entries(function).key(1)
            client = node_of(server_topology, key)
            client.set(key, make(key))
            if name != "another type":  # layer.cache knows no type
                assert await cache.get("double:1", "default") == "default"
                assert await cache.get_many(["double:1"]) == {}
            assert await handle.get(1) is MISSING
            layer.add_hook(told.append)
            assert await colour.call(function, 1) == 2
            unreadable, miss, *_ = told
            assert isinstance(unreadable, EntryUnreadable)
            assert (unreadable.key, unreadable.reason) == (key, reason)
            assert isinstance(miss, Miss)
            assert miss.reason == "unreadable"
            assert await handle.get(1) == 2
            assert 0 < client.ttl(key) <= 60

    colour.run(scenario)


def test_an_entry_whose_instants_are_damaged_is_read_or_a_miss(
    colour: Colour, server_topology: Topology, namespace: str
) -> None:
    """A value that is whole may be used although its age is nonsense; no reader raises."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace)) as layer:
            function = numbers(colour, layer)
            handle = colour.of(entries(function))
            key = entries(function).key(1)
            client = node_of(server_topology, key)
            for offset in (34, 42, 50, 58):
                entry = whole_entry(key)
                client.set(key, entry[:offset] + b"\xff" * 4 + entry[offset + 4 :])
                assert await handle.info(1) is None
                assert (await handle.call(1))[0] in {2, 7}
                assert await colour.call(function, 1) in {2, 7}

    colour.run(scenario)


def test_every_beginning_of_an_entry_is_unreadable(server_topology: Topology, namespace: str) -> None:
    """However much of an entry is lost, no reader raises or returns half a value."""
    for secret in (None, SECRET):
        with Layer(server_topology.url, namespace=namespace, secret=secret) as layer:
            function = numbers(Colour("sync"), layer)
            key = entries(function).key(1)
            client = node_of(server_topology, key)
            entries(function).set(2, 1)
            whole = client.get(key)
            for length in range(0, len(whole), 7):
                client.set(key, whole[:length])
                assert entries(function).get(1) is MISSING
            assert entries(function).info(1) is None


@pytest.mark.parametrize(
    ("planted", "reason"),
    [
        (whole_entry, "unsigned"),
        (lambda key: whole_entry(key, OTHER), "signature"),
        (lambda key: whole_entry(f"{key}x", SECRET), "signature"),
        (lambda key: whole_entry(key, SECRET)[:-1] + b"8", "signature"),
        (lambda key: b"\x01\x01" + whole_entry(key)[2:], "truncated"),
    ],
    ids=["unsigned", "another secret", "another key's entry", "another payload", "a signature that is missing"],
)
def test_a_layer_with_a_secret_reads_only_what_was_signed_for_this_key(
    colour: Colour, server_topology: Topology, namespace: str, planted: Callable[[str], bytes], reason: str
) -> None:
    """Whoever can write to Redis, but has no secret, cannot give us a value."""

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace, secret=[SECRET, OLDER])) as layer:
            told: list[Event] = []
            layer.add_hook(told.append)
            function = numbers(colour, layer)
            key = entries(function).key(1)
            node_of(server_topology, key).set(key, planted(key))
            assert await colour.call(function, 1) == 2
            assert isinstance(told[0], EntryUnreadable)
            assert told[0].reason == reason
            assert await colour.of(entries(function)).get(1) == 2

    colour.run(scenario)


def test_secrets_rotate(colour: Colour, server_topology: Topology, namespace: str) -> None:
    """Entries of the older secret are read while it is named, and no more when it is not; the newest signs."""

    async def scenario() -> None:
        url = server_topology.url
        async with (
            colour.using(Layer(url, namespace=namespace, secret=OLDER)) as before,
            colour.using(Layer(url, namespace=namespace, secret=[SECRET, OLDER])) as during,
            colour.using(Layer(url, namespace=namespace, secret=SECRET)) as after,
            colour.using(Layer(url, namespace=namespace)) as without,
        ):
            await colour.of(before.cache).set("old", 1, 60)
            await colour.of(during.cache).set("new", 2, 60)
            assert [await colour.of(layer.cache).get("old") for layer in (before, during, after)] == [1, 1, None]
            assert [await colour.of(layer.cache).get("new") for layer in (before, during, after)] == [None, 2, 2]
            assert await colour.of(without.cache).get("new") == 2, "a signature is no secret to who reads plain data"

    colour.run(scenario)


@pytest.mark.parametrize("secret", [None, SECRET])
def test_a_pickle_that_was_not_signed_is_never_loaded(
    colour: Colour, server_topology: Topology, namespace: str, secret: str | None, tmp_path: Path
) -> None:
    """Bare, in a frame, in a frame signed by somebody else: the bomb does not go off, and the call loads."""
    mark = tmp_path / "exploded"
    bomb = pickle.dumps(Bomb(mark))

    async def scenario() -> None:
        async with colour.using(Layer(server_topology.url, namespace=namespace, secret=secret)) as layer:
            options = {"serializer": "pickle"} if secret else {}
            function = numbers(colour, layer, **options)
            key = entries(function).key(1)
            client = node_of(server_topology, key)
            framed = changed(ENTRY, serializer="pickle", payload=bomb, length=len(bomb))(key)
            forged = pack(unpack(framed, key), key, OTHER.encode())
            for planted in (bomb, framed, forged):
                client.set(key, planted)
                assert await colour.of(entries(function)).get(1) is MISSING
                assert await colour.of(layer.cache).get("double:1") is None
                assert await colour.call(function, 1) == 2

    colour.run(scenario)
    assert not mark.exists()
    pickle.loads(bomb)
    assert mark.exists()


@pytest.mark.parametrize("on_failure", ["bypass", "raise"])
def test_a_key_of_another_type_is_left_alone_until_it_is_invalidated(
    colour: Colour, server_topology: Topology, namespace: str, on_failure: Any
) -> None:
    """A list under our name is somebody else's work: the failure policy holds, the error says so, and it stays."""

    async def scenario() -> None:
        layer = Layer(server_topology.url, namespace=namespace, on_failure=on_failure)
        async with colour.using(layer):
            told: list[Event] = []
            layer.add_hook(told.append)
            function = numbers(colour, layer)
            handle = colour.of(entries(function))
            key = entries(function).key(1)
            client = node_of(server_topology, key)
            client.rpush(key, "theirs")
            if on_failure == "bypass":
                assert await colour.call(function, 1) == 2
                names = [type(event).__name__ for event in told]
                assert names == ["BackendFailed", "Miss"]
                assert await colour.of(layer.cache).get("double:1", "default") == "default"
            else:
                with pytest.raises(BackendError, match="another type of value: somebody else writes to it"):
                    await colour.call(function, 1)
            assert await colour.of(layer.cache).get_many(["double:1"]) == {}
            assert client.lrange(key, 0, -1) == [b"theirs"]
            assert await handle.invalidate(1)
            assert await colour.call(function, 1) == 2
            assert await handle.get(1) == 2

    colour.run(scenario)


def test_entries_of_every_kind_are_read_while_a_deployment_rolls(
    colour: Colour, server_topology: Topology, namespace: str
) -> None:
    """Whatever serializer and compression a process writes with, the others read it."""

    async def scenario() -> None:
        url = server_topology.url
        kinds = [("json", None), ("msgpack", None), ("json", "zlib"), ("msgpack", "zlib"), ("pickle", None)]
        layers = [
            Layer(url, namespace=namespace, serializer=name, compression=compression, secret=SECRET)
            for name, compression in kinds
        ]
        for writer in layers:
            for reader in layers:
                await colour.of(writer.cache).set("shared", ["many words"] * 50, 60)
                assert await colour.of(reader.cache).get("shared") == ["many words"] * 50
        for layer in layers:
            await colour.of(layer).close()

    colour.run(scenario)

"""Promises of the commands: the same replies on every topology, in both colours, over RESP2 and RESP3."""

from __future__ import annotations

import pytest

from holdfast import commands
from holdfast.commands import Command
from holdfast.errors import BackendError
from support.backends import opened
from support.colours import Colour
from support.topologies import Topology


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_every_command(colour: Colour, topology: Topology, namespace: str, protocol: int) -> None:
    """Each helper gives the documented reply, whatever is behind the port."""
    first, second, third = (f"{namespace}:{name}" for name in ("first", "second", "third"))

    async def scenario() -> None:
        async with opened(colour, f"{topology.url}?protocol={protocol}") as it:
            port = it.port
            assert await port.call(commands.ping()) == b"PONG"
            assert await port.call(commands.get(first)) is None
            assert await port.call(commands.put(first, b"\0\r\n\xff", 60)) == b"OK"
            assert await port.call(commands.put(second, b"2", 0.5)) == b"OK"
            assert await port.call(commands.get(first)) == b"\0\r\n\xff"
            assert await port.call(commands.mget([second, third, first])) == [b"2", None, b"\0\r\n\xff"]
            assert 59_000 < await port.call(commands.pttl(first)) <= 60_000
            assert 0 < await port.call(commands.pttl(second)) <= 500
            assert await port.call(commands.pttl(third)) == -2
            assert await port.call(commands.pexpire(second, 60)) == 1
            assert await port.call(commands.pexpire(third, 60)) == 0
            assert await port.call(commands.unlink([first, second, third])) == 2
            assert await port.call(commands.unlink([first])) == 0
            assert it.events == []

    colour.run(scenario)


def test_a_pipeline(colour: Colour, topology: Topology, namespace: str, protocol: int) -> None:
    """Replies of a pipeline come in the order of its commands, over many slots too; none at all is no trip."""
    keys = [f"{namespace}:{number}" for number in range(60)]

    async def scenario() -> None:
        async with opened(colour, f"{topology.url}?protocol={protocol}") as it:
            port = it.port
            assert await port.pipeline([]) == []
            writes = [commands.put(key, key.encode(), 60) for key in keys]
            assert await port.pipeline(writes) == [b"OK"] * 60
            reads = [commands.get(key) for key in keys]
            assert await port.pipeline([*reads, commands.mget(keys), commands.unlink(keys[:30])]) == [
                *(key.encode() for key in keys),
                [key.encode() for key in keys],
                30,
            ]
            assert await port.call(commands.mget(keys)) == [None] * 30 + [key.encode() for key in keys[30:]]
            assert await port.call(commands.unlink(keys)) == 30

    colour.run(scenario)


def test_a_refused_command_of_a_pipeline(colour: Colour, topology: Topology, namespace: str) -> None:
    """A refusal raises after the others were executed, and leaves no reply behind."""
    text, other = f"{namespace}:text", f"{namespace}:other"

    async def scenario() -> None:
        async with opened(colour, topology.url) as it:
            port = it.port
            await port.call(commands.put(text, b"x", 60))
            push = Command(("LPUSH", text, "x"), (text,))
            with pytest.raises(BackendError, match=r"LPUSH: .* another type of value"):
                await port.pipeline([commands.put(other, b"1", 60), push, commands.put(text, b"y", 60)])
            assert await port.call(commands.mget([other, text])) == [b"1", b"y"]

    colour.run(scenario)


def test_what_came_of_each_command(colour: Colour, topology: Topology, namespace: str) -> None:
    """A refusal stands among the replies, in the place of its own."""
    text, other = f"{namespace}:text", f"{namespace}:other"

    async def scenario() -> None:
        async with opened(colour, topology.url) as it:
            assert await it.port.outcomes([]) == []
            push = Command(("LPUSH", text, "x"), (text,))
            written, refused, read = await it.port.outcomes([commands.put(text, b"x", 60), push, commands.get(other)])
            assert (written, read) == (b"OK", None)
            assert isinstance(refused, BackendError)
            assert "another type of value" in str(refused)

    colour.run(scenario)


def test_colours_meet_on_one_server(topology: Topology, namespace: str) -> None:
    """What one colour writes the other reads: through one backend, and through two."""
    sync, asynchronous = Colour("sync"), Colour("async")

    async def write() -> None:
        async with opened(sync, topology.url) as it:
            await it.port.call(commands.put(namespace, b"seen", 60))

    async def read() -> None:
        async with opened(asynchronous, topology.url) as it:
            assert await it.port.call(commands.get(namespace)) == b"seen"
            assert it.backend.blocking.call_now(commands.get(namespace)) == b"seen"  # also while a loop runs

    sync.run(write)
    asynchronous.run(read)


def test_many_at_once(colour: Colour, topology: Topology, namespace: str) -> None:
    """Eight threads or tasks at once each get their own replies."""

    async def scenario() -> None:
        async with opened(colour, topology.url) as it:

            def actor(number: int) -> object:
                async def act() -> bool:
                    key, value = f"{namespace}:{number}", b"%d" % number
                    await it.port.call(commands.put(key, value, 60))
                    return all([await it.port.call(commands.get(key)) == value for _ in range(50)])

                return act

            assert await colour.together(*[actor(number) for number in range(8)]) == [True] * 8  # type: ignore[arg-type]

    colour.run(scenario)

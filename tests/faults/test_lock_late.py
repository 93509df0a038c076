"""Promises of locks whose commands are executed late: what nobody has any more is given back all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import pytest

from holdfast import BackendError, BackendTimeout, BackendUnavailable, Layer, Redlock
from holdfast.commands import Command, Reply
from support.calls import named, teach
from support.colours import Colour
from support.link import Link
from support.lock_kinds import KINDS, Make, in_redis
from support.peeking import ask
from support.programs import oldest
from support.proxy import Proxy
from support.standalone import Standalone
from support.waiting import until

SOON: Final = 4.0
"""Seconds, far less than a lease."""
ALONE: Final = {name: KINDS[name] for name in ("plain", "fair", "permit", "writer")}
each_kind = pytest.mark.parametrize("make", ALONE.values(), ids=ALONE)


@pytest.fixture(scope="module")
def server() -> Iterator[Standalone]:
    """One server, which is never stopped."""
    with Standalone(oldest()) as server:
        teach([server])
        yield server


class Stuck:
    """Scripts that have left their client, which is gone, and have not come to the server yet."""

    def __init__(self, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_on = False
        """Whether scripts that come now are held; what is held stays so."""
        self.links: list[Any] = []
        self._proxy = proxy
        self._flush = flush = Link.flush

        def held(link: Link) -> None:
            if self.is_on and link not in self.links and any(b"EVALSHA" in each for each in link._requests):
                self.links.append(link)
            if link not in self.links:
                flush(link)

        monkeypatch.setattr(Link, "flush", held)

    def holds(self, count: int) -> bool:
        """Say whether so many are held, or more."""
        return len(self.links) >= count

    def cut_client(self, number: int) -> None:
        """Cut off one of the clients; what it has sent stays where it is."""

        async def cut() -> None:
            self.links[number].client.close(reset=True)

        self._proxy._on_loop(cut)

    def let_go(self) -> None:
        """Let the server see them."""

        async def go() -> None:
            for link in self.links:
                self._flush(link)

        self._proxy._on_loop(go)


@each_kind
@pytest.mark.parametrize("again", [True, False], ids=["sent twice", "no way back"])
def test_the_connection_is_lost_and_the_take_comes_later(
    colour: Colour, server: Standalone, namespace: str, make: Make, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is told that Redis is unavailable holds nothing, also if the request arrives after that.

    Whether the second try is lost like the first, or cannot be made.
    """

    async def scenario() -> None:
        with Proxy(server.address) as proxy:
            async with (
                colour.using(Layer(proxy.url, namespace=namespace)) as layer,
                colour.using(Layer(server.url, namespace=namespace)) as other,
            ):
                async with colour.using(layer.lock("warm")):
                    pass
                stuck, lock = Stuck(proxy, monkeypatch), make(layer, wait=0)
                stuck.is_on = True

                async def take() -> None:
                    with pytest.raises(BackendUnavailable):
                        await colour.of(lock).acquire()

                async def cut() -> None:
                    for number in range(2 if again else 1):
                        await colour.until(partial(stuck.holds, number + 1), "the take is under way")
                        stuck.is_on = number == 0 and again
                        if not again:
                            proxy.refuse()
                        stuck.cut_client(number)

                before = server.commandstats()["evalsha"]
                assert await colour.together(take, cut) == [None, None]
                proxy.accept()
                await colour.until(lambda: server.commandstats()["evalsha"] > before, "it is given back, too early")
                places = lock._claim.places
                assert not in_redis(other, places.fence)
                stuck.let_go()
                await colour.until(lambda: in_redis(other, places.fence), "it is taken late")
                await colour.until(lambda: not in_redis(other, places.held), "it is given back again", within=SOON)

    colour.run(scenario)


class Late:
    """A port whose pipelines do not come to an answer, and are executed when the test says so.

    Args:
        port: over which they are then.
        error: what the caller is told; None lets him wait for ever.
    """

    def __init__(self, port: Any, error: BackendError | None) -> None:
        self._port = port
        self._error = error
        self.late: list[Command] = []
        self.left = 0
        """How often something was given back."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        self.late += [each for each in commands if each.blocks is None]
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()
        raise AssertionError

    async def call(self, command: Command) -> Reply:
        reply = await self._port.call(command)
        self.left += named(command).startswith("leave")
        return reply


@each_kind
@pytest.mark.parametrize("end", ["cancelled", "timeout", "lost"])
def test_the_second_take_for_replicas_comes_later(server: Standalone, namespace: str, make: Make, end: str) -> None:
    """A lock that replicas must have is asked for twice: who is cancelled or late meanwhile leaves nothing."""
    errors = {"timeout": BackendTimeout("late"), "lost": BackendUnavailable("lost")}

    async def scenario() -> None:
        async with Layer(server.url, namespace=namespace) as layer, Layer(server.url, namespace=namespace) as other:
            port = Late(layer.engine.asyncio, errors.get(end))
            layer.engine.asyncio = port  # type: ignore[assignment]
            lock = make(layer, min_replicas=1, wait=0)
            task = asyncio.create_task(lock.aacquire())
            await soon(lambda: port.late)
            if end == "cancelled":
                task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or isinstance(task.exception(), BackendError)
            await soon(lambda: port.left)
            (command,) = port.late
            taken, *_ = await other.engine.asyncio.call(command)
            assert taken
            key = lock._claim.places.held
            await soon(lambda: not in_redis(other, key))

    asyncio.run(scenario())


async def soon(check: Callable[[], object]) -> None:
    await Colour("async").until(check, "it has come", within=SOON)


class Pausing:
    """A port whose server answers nobody while it is paused."""

    def __init__(self, port: Any, pause: Pause) -> None:
        self._port = port
        self._pause = pause

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in ("call", "pipeline", "outcomes", "steps"):
            return found

        async def ask_it(*args: Any) -> Any:
            if self._pause.is_on:
                msg = "no answer in time"
                raise BackendTimeout(msg)
            return await found(*args)

        return ask_it


class Pause:
    """Whether two of three servers are paused."""

    is_on = False


def test_a_voted_lock_that_was_extended(namespace: str) -> None:
    """Given back while two of three servers are away: it is free when they are back, not when its long lease ends."""
    with Redlock([f"memory://{namespace}{number}" for number in range(3)]) as redlock:
        pause, voting = Pause(), redlock.keeper._voting
        first, *others = voting.nodes
        voting.nodes = (first, *(replace(node, blocking=Pausing(node.blocking, pause)) for node in others))
        lock = redlock.lock("k", lease=0.2)
        held = lock.acquire()
        held.extend(60)
        key = held._hold.claim.places.held
        pause.is_on = True
        held.release()
        began = redlock.blocking.monotonic()
        until(lambda: redlock.blocking.monotonic() > began + 0.3, "the first lease would be over")
        assert [ask(layer, "PTTL", key, key=key) > 50_000 for layer in redlock._layers] == [False, True, True]
        pause.is_on = False
        until(lambda: not any(in_redis(layer, key) for layer in redlock._layers), "nobody holds it", within=SOON)
        assert not lock.locked()

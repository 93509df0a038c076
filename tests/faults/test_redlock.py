"""Promises of locks over several servers: a minority may fail in any way, and a refusal leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from holdfast.core.red_votes import Grant, Refusal
from holdfast.errors import BackendError, BackendTimeout, BackendUnavailable
from support.colours import Colour
from support.proxy import Proxy
from support.redlocks import NOBODY, Client, client, several
from support.standalone import Standalone

LEASE = 10.0
PATIENCE = 0.5
"""Seconds for one server with that lease."""
ENOUGH = 6.0
"""Seconds in which all is over even on a machine under load; less than the lease."""


@pytest.fixture(scope="module")
def five() -> Iterator[list[Standalone]]:
    """Five servers that are never stopped."""
    with several(5) as servers:
        yield servers


def urls(servers: list[Standalone], down: int = 0) -> list[str]:
    """Return the URLs of servers, of which the first are nowhere."""
    return [NOBODY] * down + [server.url for server in servers[down:]]


async def gone(it: Client, servers: list[Standalone]) -> None:
    """Check that soon, long before a lease is over, the lock is held nowhere."""
    began = time.monotonic()
    await it.colour.until(lambda: not any(it.left(servers)), "nothing is left", within=ENOUGH)
    assert time.monotonic() - began < ENOUGH


@pytest.mark.parametrize("down", [0, 1, 2])
def test_a_minority_is_down(colour: Colour, five: list[Standalone], namespace: str, down: int) -> None:
    """The others grant the lock, in time, for no longer than the lease; all of them have it, and then none."""

    async def scenario() -> None:
        async with client(colour, urls(five, down), namespace) as it:
            began = time.monotonic()
            grant = await it.taken(LEASE)
            over = time.monotonic()
            assert over - began < ENOUGH
            assert began + LEASE - 0.11 < grant.valid_until < over + LEASE - 0.1
            assert grant.nodes == it.core.nodes[down:]
            assert it.left(five[down:]) == [grant.member.encode()] * (5 - down)
            assert all(0 < server.client.pttl(it.names.lock("lock", "n").held) <= 10_000 for server in five[down:])
            assert await it.is_held()
            assert await it.leave(grant)
            assert not any(it.left(five))
            assert not await it.is_held()

    colour.run(scenario)


@pytest.mark.parametrize("down", [3, 5])
def test_a_majority_is_down(colour: Colour, five: list[Standalone], namespace: str, down: int) -> None:
    """The caller is told in time that servers are missing, and those that live hold nothing then."""

    async def scenario() -> None:
        async with client(colour, urls(five, down), namespace) as it:
            for _ in range(3):
                began = time.monotonic()
                with pytest.raises(BackendUnavailable, match=r"cannot be reached|circuit breaker"):
                    await it.take(LEASE)
                assert time.monotonic() - began < ENOUGH
                assert not any(it.left(five))
            assert it.tally.errors
            with pytest.raises(BackendError):
                await it.is_held()

    colour.run(scenario)


def test_two_round_trips_a_server(colour: Colour, five: list[Standalone], namespace: str) -> None:
    """To take a lock that is free costs each server two commands, and to give it back one."""

    async def scenario() -> None:
        async with client(colour, urls(five), namespace) as it:
            await it.leave(await it.taken())
            numbers = range(5)
            assert sorted(it.sent) == sorted(
                (name, number) for name in ("take", "fix_fence", "leave") for number in numbers
            )

    colour.run(scenario)


@pytest.mark.parametrize(("paused", "delay"), [(1, 2 * PATIENCE), (2, 0.1)])
def test_paused_and_slow_servers(colour: Colour, namespace: str, paused: int, delay: float) -> None:
    """A server that is frozen or too slow is not waited for longer than its patience; a slow one is as good as any.

    Neither keeps what it does late.
    """

    async def scenario() -> None:
        with several(5) as servers, Proxy(servers[paused].address) as slow:
            places = [server.url for server in servers]
            places[paused] = slow.url
            async with client(colour, [f"{place}?socket_timeout=20" for place in places], namespace) as it:
                assert await it.leave(await it.taken(LEASE))  # all are connected
                for server in servers[:paused]:
                    server.pause()
                slow.delay(delay)
                began = time.monotonic()
                grant = await it.taken(LEASE)
                assert time.monotonic() - began < 2 * PATIENCE + 2
                assert grant.nodes == it.core.nodes[2:]
                assert grant.silent == it.core.nodes[:2]
                assert grant.valid_until > time.monotonic()
                left_at = time.monotonic()
                assert await it.leave(grant)
                assert time.monotonic() - left_at < ENOUGH / 2
                slow.delay(0)
                for server in servers[:paused]:
                    server.resume()
                await gone(it, servers)

    colour.run(scenario)


@pytest.mark.parametrize("outcome", ["granted", "refused"])
def test_what_a_silent_server_does_late(colour: Colour, five: list[Standalone], namespace: str, outcome: str) -> None:
    """One that takes the lock after it was told to give it back is told so again, long before the lease is over."""
    told: list[int] = []

    async def scenario() -> None:
        async with client(colour, urls(five), namespace) as it:
            held = it.names.lock("lock", "n").held

            def lose(point: str, server: int) -> None:
                if (point, server) == ("take", 0):
                    msg = "take: no answer in time"
                    raise BackendTimeout(msg)
                if (point, server) == ("leave!", 0):
                    told.append(server)

            it.hook = lose
            for server in five[2:] if outcome == "refused" else ():
                server.client.set(held, "other", px=60_000)
            found = await it.take(60)
            if isinstance(found, Grant):
                assert await it.leave(found)
            await it.colour.until(lambda: told, "it says that it does not hold the lock", within=ENOUGH)
            five[0].client.set(held, it.member, px=60_000)
            await it.colour.until(lambda: not five[0].client.exists(held), "it gives it back", within=ENOUGH)

    colour.run(scenario)


def test_a_majority_is_paused(colour: Colour, namespace: str) -> None:
    """It is refused in time; those that live hold nothing then, and the others nothing soon after they go on."""

    async def scenario() -> None:
        with several(5) as servers:
            places = [f"{server.url}?socket_timeout=20" for server in servers]
            async with client(colour, places, namespace) as it:
                assert await it.leave(await it.taken(LEASE))
                for server in servers[:3]:
                    server.pause()
                began = time.monotonic()
                with pytest.raises(BackendTimeout):
                    await it.take(LEASE)
                assert time.monotonic() - began < 3 * PATIENCE + 2
                assert not any(it.left(servers[3:]))
                for server in servers[:3]:
                    server.resume()
                await gone(it, servers)

    colour.run(scenario)


def test_others_hold_it(colour: Colour, five: list[Standalone], namespace: str) -> None:
    """Whoever is refused harms nobody, holds nothing, and learns when the lease of the holder runs out."""

    async def scenario() -> None:
        async with client(colour, urls(five), namespace) as it:
            holder = await it.taken(LEASE)
            it.sent.clear()
            refusal = await it.refused()
            assert refusal.failure is None
            assert LEASE - ENOUGH < refusal.until - time.monotonic() <= LEASE
            assert [name for name, _ in it.sent] == ["take"] * (5 if colour.is_async else 3)
            assert it.left(five) == [holder.member.encode()] * 5
            assert await it.leave(holder)

    colour.run(scenario)


def test_others_hold_a_majority(colour: Colour, five: list[Standalone], namespace: str) -> None:
    """The two servers that were free are so again when the refusal is there, and it is worth trying soon."""

    async def scenario() -> None:
        async with client(colour, urls(five), namespace) as it:
            for server in five[2:]:
                server.client.set(it.names.lock("lock", "n").held, "other", px=10_000)
            refusal = await it.refused()
            assert refusal.failure is None
            assert refusal.until - time.monotonic() < 0.2
            assert it.left(five) == [None, None, *[b"other"] * 3]
            assert await it.is_held()

    colour.run(scenario)


def test_others_and_failures_together(colour: Colour, five: list[Standalone], namespace: str) -> None:
    """Where neither alone keeps a quorum away, the failure is told with the refusal."""

    async def scenario() -> None:
        async with client(colour, urls(five, 2), namespace) as it:
            five[2].client.set(it.names.lock("lock", "n").held, "other", px=10_000)
            refusal = await it.refused()
            assert isinstance(refusal.failure, BackendUnavailable)
            assert refusal.until - time.monotonic() < 0.2
            assert it.left(five) == [None, None, b"other", None, None]

    colour.run(scenario)


def test_two_who_want_it(colour: Colour, five: list[Standalone], namespace: str) -> None:
    """Never both have it; each gets it again and again; and every fencing token is greater than all before."""
    fences: list[int] = []
    inside: list[Client] = []

    async def scenario() -> None:
        async with client(colour, urls(five), namespace) as one, client(colour, urls(five), namespace) as other:

            def actor(it: Client) -> object:
                async def act() -> int:
                    for _ in range(15):
                        grant = await won(it)
                        inside.append(it)
                        fences.append(grant.fence)
                        await it.colour.sleep(0.001)
                        assert inside == [it]
                        inside.clear()
                        assert await it.leave(grant)
                    return 15

                return act

            actors = [actor(one), actor(other)]
            assert await colour.together(*actors) == [15, 15]  # type: ignore[arg-type]
            assert fences == sorted(set(fences))
            assert not any(one.left(five))

    colour.run(scenario)


async def won(it: Client) -> Grant:
    """Try until the lock is had."""
    while isinstance(found := await it.take(60), Refusal):
        await it.colour.sleep(min(0.05, max(0.0, found.until - it.port.monotonic())))
    return found


def test_fences_rise_whatever_the_clocks_say(colour: Colour, five: list[Standalone], namespace: str) -> None:
    """Different quorums grant, and one server's clock is years ahead: each token is still greater than the last."""

    async def scenario() -> None:
        quorums = [(2, 3, 4), (0, 1, 2), (0, 3, 4), (0, 1, 3), (1, 2, 4)]
        fences = [3_000_000_000_000_000]
        async with client(colour, urls(five), namespace) as it:
            five[4].client.set(it.names.lock("lock", "n").fence, fences[0], px=3_600_000)
        for quorum in quorums:
            places = [server.url if number in quorum else NOBODY for number, server in enumerate(five)]
            async with client(colour, places, namespace) as it:
                grant = await it.taken()
                assert len(grant.nodes) == 3
                fences.append(grant.fence)
                assert await it.leave(grant)
        assert fences == [fences[0] + number for number in range(6)]

    colour.run(scenario)


def test_a_fence_that_no_quorum_knows(colour: Colour, five: list[Standalone], namespace: str) -> None:
    """If too few servers still hold the lock to note the token, it is refused, and given back to the others."""

    async def scenario() -> None:
        async with client(colour, urls(five), namespace) as it:
            held = it.names.lock("lock", "n").held

            def lose(point: str, server: int) -> None:
                if point == "fix_fence" and server < 3:
                    five[server].client.delete(held)

            it.hook = lose
            refusal = await it.refused()
            assert isinstance(refusal.failure, BackendTimeout)
            assert not any(it.left(five))
            it.hook = lambda point, server: point == "fix_fence" and server < 2 and five[server].client.delete(held) < 0
            assert await it.leave(await it.taken())

    colour.run(scenario)


@pytest.mark.parametrize("point", ["take!", "fix_fence!"])
def test_what_took_too_long(colour: Colour, five: list[Standalone], namespace: str, point: str) -> None:
    """If the lease is over, but for the drift, when all have answered, it is refused and given back."""

    async def scenario() -> None:
        async with client(colour, urls(five), namespace) as it:

            def pass_time(come: str, server: int) -> None:
                if come == point and server == 4:
                    it.ahead = LEASE - 0.1

            it.hook = pass_time
            refusal = await it.refused(LEASE)
            assert "of a lease of 10 s" in str(refusal.failure)
            assert not any(it.left(five))

    colour.run(scenario)


def test_keeping(colour: Colour, five: list[Standalone], namespace: str) -> None:
    """It lasts longer as long as a quorum has it; when that has lost it, it is lost, and is not taken again."""

    async def scenario() -> None:
        async with client(colour, urls(five, 1), namespace) as it:
            held = it.names.lock("lock", "n").held
            grant = await it.taken(LEASE)
            began = time.monotonic()
            until = await it.keep(grant, 60)
            assert until is not None
            assert began + 59 < until < time.monotonic() + 59.4
            assert all(server.client.pttl(held) > 50_000 for server in five[1:])
            five[1].client.delete(held)
            assert await it.keep(grant, 60) is not None
            five[2].client.set(held, "other", px=60_000)
            with pytest.raises(BackendUnavailable):  # the one that is down might make the quorum
                await it.keep(grant, 60)
            five[3].client.delete(held)
            assert await it.keep(grant, 60) is None
            assert it.left(five) == [None, None, b"other", None, grant.member.encode()]
            assert not await it.leave(grant)
            assert it.left(five) == [None, None, b"other", None, None]

    colour.run(scenario)


def test_one_server_and_embedded_ones(colour: Colour, namespace: str) -> None:
    """It works over any number of whatever a layer calls Redis."""

    async def scenario() -> None:
        for count in (1, 2, 3):
            async with client(colour, [f"memory://{namespace}{number}" for number in range(count)], namespace) as it:
                first = await it.taken()
                assert (await it.refused()).failure is None
                assert await it.leave(first)
                second = await it.taken()
                assert second.fence > first.fence
                assert await it.leave(second)

    colour.run(scenario)

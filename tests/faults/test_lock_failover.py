"""Promises of locks when the primary dies: what is documented happens, and numbers rise all the same."""

from __future__ import annotations

import pytest

from holdfast import Layer, LockLost, LockNotAcquired
from support.backends import beside
from support.colours import Colour
from support.programs import oldest
from support.replicated import replicated
from support.sentinel import Sentinel
from support.server import HOST


def detach(sentinel: Sentinel) -> None:
    """Let the replica follow nobody whom it can reach: what is written from now on is not copied."""
    sentinel.replica.ask("REPLICAOF", HOST, 1)


def test_a_lock_that_was_not_copied(colour: Colour, namespace: str) -> None:
    """Another gets it on the new primary, with a greater token; the old holder learns it, and does no harm."""

    async def scenario() -> None:
        with Sentinel(oldest()) as sentinel:
            async with (
                colour.using(Layer(sentinel.url, namespace=namespace)) as here,
                colour.using(Layer(sentinel.url, namespace=namespace)) as there,
            ):
                await colour.of(there.lock("open the connection")).locked()
                detach(sentinel)
                old = await colour.of(here.lock("k", lease="30s")).acquire()
                await beside(colour, sentinel.kill_primary)
                new = await colour.of(there.lock("k", lease="30s", wait="20s")).acquire()
                assert new.fencing_token > old.fencing_token
                assert not old.lost  # both hold it: so it is documented
                old._hold.renew_at = 0.0  # now, and not in some seconds
                await colour.until(lambda: old.lost, "the next renewal tells the old holder")
                with pytest.raises(LockLost):
                    await colour.of(old).release()
                new.check()
                await colour.of(new).extend()
                await colour.of(new).release()

    colour.run(scenario)


@pytest.mark.parametrize("fair", [False, True], ids=["plain", "fair"])
def test_a_failover_while_others_wait(colour: Colour, fair: bool, namespace: str) -> None:
    """A lock that was copied is held all the time; who waits puts up with the failover, and gets it in the end."""

    async def scenario() -> None:
        with Sentinel(oldest()) as sentinel:
            async with (
                colour.using(Layer(sentinel.url, namespace=namespace)) as here,
                colour.using(Layer(sentinel.url, namespace=namespace)) as there,
            ):
                held = await colour.of(here.lock("k", lease="30s", min_replicas=1, fair=fair)).acquire()
                fences: list[int] = []

                async def wait() -> None:
                    async with colour.using(there.lock("k", lease="30s", fair=fair)) as later:
                        fences.append(later.fencing_token)

                async def conduct() -> None:
                    lobbies = there.engine.locks.lobbies
                    await colour.until(lambda: [each for each in lobbies._lobbies.values() if each.hears], "it waits")
                    await beside(colour, sentinel.kill_primary)
                    await colour.until(lambda: held.remaining > 25, "it is renewed on the new primary")
                    assert not fences
                    await colour.of(held).release()

                assert await colour.together(wait, conduct) == [None, None]
                assert fences[0] > held.fencing_token

    colour.run(scenario)


def test_replicas_that_do_not_answer(colour: Colour, namespace: str) -> None:
    """`min_replicas=1` refuses while the replica stands still, and leaves nothing; then it grants again."""

    async def scenario() -> None:
        with replicated(oldest()) as servers:
            async with colour.using(Layer(servers.primary.url, namespace=namespace)) as layer:
                lock = layer.lock("k", lease="30s", min_replicas=1)
                async with colour.using(lock):
                    assert servers.replica.client.exists(f"{namespace}:lock:{{k}}")
                with servers.replica.paused():
                    with pytest.raises(LockNotAcquired, match="0 of 1 replicas"):
                        await colour.of(lock).acquire()
                    assert not await colour.of(lock).locked()
                async with colour.using(lock):
                    pass
                keys = list(servers.primary.client.scan_iter(match=f"{namespace}*"))
                assert not [key for key in keys if not key.endswith(b":fence")]

    colour.run(scenario)

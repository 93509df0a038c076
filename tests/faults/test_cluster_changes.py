"""Promises of the cluster: slots move, nodes die and replicas take over, and callers notice as little as can be."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

import pytest

from holdfast import commands
from holdfast.commands import Command
from holdfast.errors import BackendError, BackendTimeout, BackendUnavailable
from support.backends import beside, opened
from support.cluster import Cluster
from support.colours import Colour
from support.programs import Program, oldest
from support.standalone import Standalone

SOURCE = "return redis.call('INCRBY', KEYS[1], ARGV[1])"
DIGEST = hashlib.sha1(SOURCE.encode(), usedforsecurity=False).hexdigest()


def script(key: str) -> Command:
    tail = (1, key, 1)
    return Command(("EVALSHA", DIGEST, *tail), (key,), fallback=("EVAL", SOURCE, *tail))


@pytest.fixture(scope="module")
def steady() -> Iterator[Cluster]:
    """A cluster whose slots move but whose nodes live."""
    with Cluster(oldest()) as cluster:
        yield cluster


def test_each_key_goes_to_its_node(colour: Colour, steady: Cluster, namespace: str) -> None:
    """Once the slots are known no command is redirected, and no node sees a foreign key."""
    keys = [f"{namespace}:{number}" for number in range(30)]

    async def scenario() -> None:
        async with opened(colour, steady.url) as it:
            for key in keys:
                await it.port.call(commands.put(key, b"v", 60))
            assert await it.port.call(commands.mget(keys)) == [b"v"] * 30
            for key in keys:
                assert steady.owner(key).client.exists(key)
            with steady.monitor(namespace) as seen:
                assert await it.port.call(commands.mget(keys)) == [b"v"] * 30
                assert await it.port.pipeline([commands.get(key) for key in keys]) == [b"v"] * 30
            asked = [word.decode() for each in seen.sent for word in each.words[1:]]
            assert sorted(asked) == sorted(keys * 2)
            assert await it.port.call(commands.unlink(keys)) == 30

    colour.run(scenario)


def test_a_slot_moves_under_a_client(colour: Colour, steady: Cluster, namespace: str) -> None:
    """Before, during and after a move: reads, writes and scripts find their keys, each executed once."""
    there, missing = f"{{{namespace}}}:there", f"{{{namespace}}}:missing"

    async def scenario() -> None:
        async with opened(colour, steady.url) as it:
            assert await it.port.call(script(there)) == 1
            move = steady.move(there)
            move.begin()
            assert await it.port.call(script(there)) == 2  # still at the source
            assert await it.port.call(script(missing)) == 1  # ASK; the target has never seen the script
            assert await it.port.call(script(missing)) == 2
            assert await it.port.pipeline([script(there), script(missing), commands.get(there)]) == [3, 3, b"3"]
            assert move.target.client.script_exists(DIGEST) == [True]
            move.carry(there)
            assert await it.port.call(script(there)) == 4  # ASK
            assert await it.port.call(commands.mget([there, missing])) == [b"4", b"3"]
            move.finish()
            assert await it.port.call(script(there)) == 5  # MOVED
            assert await it.port.pipeline([script(missing), commands.get(there)]) == [4, b"5"]
            assert move.target.client.get(there) == b"5"
            assert await it.port.call(commands.unlink([there, missing])) == 2

    colour.run(scenario)


def test_keys_on_both_sides_of_a_move(colour: Colour, steady: Cluster, namespace: str) -> None:
    """A command over keys of which some are here and some there is tried again until they are together."""
    first, second = f"{{{namespace}}}:1", f"{{{namespace}}}:2"

    async def scenario() -> None:
        async with opened(colour, steady.url) as it:
            for key in (first, second):
                await it.port.call(commands.put(key, key.encode(), 60))
            move = steady.move(first)
            move.begin()
            move.carry(first)

            async def ask() -> object:
                return await it.port.call(commands.mget([first, second]))

            async def finish() -> None:
                await colour.sleep(0.05)
                await beside(colour, move.finish)

            values, _ = await colour.together(ask, finish)
            assert values == [first.encode(), second.encode()]

    colour.run(scenario)


def test_keys_that_stay_apart_are_told(colour: Colour, steady: Cluster, namespace: str) -> None:
    """When a move does not go on, the caller is told soon that slots are being moved."""
    first, second = f"{{{namespace}}}:1", f"{{{namespace}}}:2"

    async def scenario() -> None:
        async with opened(colour, steady.url) as it:
            for key in (first, second):
                await it.port.call(commands.put(key, b"v", 60))
            move = steady.move(first)
            move.begin()
            move.carry(first)
            with pytest.raises(BackendUnavailable, match="slots are being moved"):
                await it.port.call(commands.mget([first, second]))
            move.finish()
            assert await it.port.call(commands.mget([first, second])) == [b"v", b"v"]

    colour.run(scenario)


def test_a_node_dies_and_its_replica_takes_over(colour: Colour, program: Program) -> None:
    """A dead node fails its own slots only, and soon at once; when its replica is primary they are back."""

    async def scenario() -> None:
        with Cluster(program, replicas=True, full_coverage=False, node_timeout=1000) as cluster:
            async with opened(colour, cluster.url) as it:
                keys = [f"k{number}" for number in range(30)]
                for key in keys:
                    await it.port.call(commands.put(key, key.encode(), 600))
                victim = cluster.primaries[0]
                await beside(colour, lambda: victim.client.wait(1, 5000))
                lost = [key for key in keys if cluster.owner(key) is victim]
                kept = [key for key in keys if key not in lost]
                await beside(colour, lambda: cluster.kill(victim))
                for _ in range(4):
                    for key in kept:
                        assert await it.port.call(commands.get(key)) == key.encode()
                    for key in lost:
                        assert type(await it.outcome("GET", key, repeatable=True)) is BackendUnavailable
                    with pytest.raises(BackendUnavailable):
                        await it.port.pipeline([commands.get(key) for key in keys])
                await beside(colour, lambda: cluster.fail_over(victim))
                for key in lost:
                    while isinstance(reply := await it.outcome("GET", key, repeatable=True), BackendError):
                        assert type(reply) in {BackendUnavailable, BackendTimeout}
                        await colour.sleep(0.02)
                    assert reply == key.encode()
                assert await it.port.call(commands.mget(keys)) == [key.encode() for key in keys]

    colour.run(scenario)


def test_seeds_may_die_after_the_first_contact(colour: Colour) -> None:
    """The node of the URL may go: the others that were learned from it are enough."""

    async def scenario() -> None:
        with Cluster(oldest(), full_coverage=False, node_timeout=1000) as cluster:
            seed = cluster.primaries[0]
            async with opened(colour, f"redis+cluster://127.0.0.1:{seed.port}") as it:
                keys = [key for key in map(str, range(50)) if cluster.owner(key) is not seed]
                for key in keys:
                    await it.port.call(commands.put(key, b"v", 600))
                await beside(colour, lambda: cluster.kill(seed))
                move = cluster.move(
                    keys[0], next(node for node in cluster.primaries[1:] if node is not cluster.owner(keys[0]))
                )
                move.begin()
                move.finish()
                for key in keys:
                    assert await it.port.call(commands.get(key)) == b"v"

    colour.run(scenario)


def test_a_cluster_that_is_down_does_not_hold_callers_up(colour: Colour) -> None:
    """CLUSTERDOWN is waited for once, by one caller; the next ones are told at once."""

    async def scenario() -> None:
        with Cluster(oldest(), full_coverage=True, node_timeout=1000) as cluster:
            async with opened(colour, cluster.url) as it:
                key = next(key for key in map(str, range(50)) if cluster.owner(key) is not cluster.primaries[0])
                await it.port.call(commands.put(key, b"v", 600))
                alive = cluster.owner(key)
                await beside(colour, lambda: cluster.kill(cluster.primaries[0]))
                await colour.until(lambda: cluster.state(alive) == "fail", "the cluster is down")
                assert "cluster is down" in str(await it.outcome("GET", key, repeatable=True))
                started = time.monotonic()
                for _ in range(20):
                    assert type(await it.outcome("GET", key, repeatable=True)) is BackendUnavailable
                assert time.monotonic() - started < 0.9

    colour.run(scenario)


def test_a_server_that_is_no_cluster(colour: Colour, program: Program) -> None:
    """A plain server is told as such, with the URL to use; a replica URL too."""

    async def scenario() -> None:
        with Standalone(program) as server:
            async with opened(colour, server.url.replace("redis://", "redis+cluster://")) as it:
                for _ in range(4):
                    with pytest.raises(BackendError, match=r"is not a cluster; use redis://"):
                        await it.port.call(commands.get("k"))

    colour.run(scenario)


def test_nobody_of_the_cluster_is_there(colour: Colour) -> None:
    """Seeds that do not answer are named, and soon cost nothing."""

    async def scenario() -> None:
        async with opened(colour, "redis+cluster://127.0.0.1:1,127.0.0.1:2") as it:
            for _ in range(5):
                with pytest.raises(BackendUnavailable, match=r"127\.0\.0\.1:2"):
                    await it.port.call(commands.get("k"))

    colour.run(scenario)

"""Promises of Sentinel: a failover under load is survived, and nothing is written to the wrong server."""

from __future__ import annotations

import time

import pytest

from holdfast.errors import BackendError, BackendTimeout, BackendUnavailable
from support.backends import Opened, beside, opened
from support.colours import Colour
from support.programs import Program, oldest
from support.sentinel import Sentinel


class Writers:
    """Actors that write and read until told to stop, and remember what happened when."""

    def __init__(self, colour: Colour, it: Opened) -> None:
        self._colour = colour
        self._it = it
        self.stop = False
        self.errors: list[object] = []
        self.good: list[float] = []

    async def act(self) -> None:
        number = 0
        while not self.stop:
            number += 1
            wrote = await self._it.outcome("SET", "k", str(number), repeatable=True)
            read = await self._it.outcome("GET", "k", repeatable=True)
            for outcome in (wrote, read):
                if isinstance(outcome, Exception):
                    self.errors.append(outcome)
            if wrote == b"OK":
                self.good.append(time.monotonic())
            await self._colour.sleep(0.003)

    def works_since(self, moment: float, count: int = 20) -> bool:
        return sum(each > moment for each in self.good) >= count


@pytest.mark.parametrize("how", ["failover", "kill_primary"])
def test_a_failover_under_load(colour: Colour, program: Program, how: str) -> None:
    """Threads or tasks that go on writing see errors of ours only, and it works again by itself on the new primary."""

    async def scenario() -> None:
        with Sentinel(program) as sentinel:
            async with opened(colour, sentinel.url) as it:
                writers = Writers(colour, it)

                async def conduct() -> None:
                    try:
                        await _switch(colour, sentinel, writers, how)
                    finally:
                        writers.stop = True

                assert await colour.together(*[writers.act] * 3, conduct) == [None] * 4
                assert {type(error) for error in writers.errors} <= {BackendUnavailable, BackendTimeout}

    colour.run(scenario)


async def _switch(colour: Colour, sentinel: Sentinel, writers: Writers, how: str) -> None:
    await colour.until(lambda: writers.works_since(0), "it works at first")
    old = sentinel.primary
    await beside(colour, getattr(sentinel, how))
    await beside(colour, sentinel.rejoin)
    switched = time.monotonic()
    await colour.until(lambda: writers.works_since(switched), "it works again", within=10)
    assert sentinel.primary is not old
    before = [server.commandstats().get("set", 0) for server in (old, sentinel.primary)]
    now = time.monotonic()
    # Three more than are counted: what each writer had under way may have been executed before.
    await colour.until(lambda: writers.works_since(now, 23), "it goes on", within=10)
    after = [server.commandstats().get("set", 0) for server in (old, sentinel.primary)]
    assert after[1] >= before[1] + 20
    # What the replica counts is what its primary passes on to it: nobody else writes there.
    assert after[0] - before[0] <= after[1] - before[1] + 5


def test_sentinels_may_be_down(colour: Colour) -> None:
    """With all sentinels gone what is connected goes on; a new connection tells what is the matter."""

    async def scenario() -> None:
        with Sentinel(oldest()) as sentinel:
            async with opened(colour, sentinel.url) as it, opened(colour, sentinel.url) as late:
                assert await it.call("SET", "k", "v") == b"OK"
                for one in sentinel.sentinels:
                    one.kill()
                for _ in range(20):
                    assert await it.call("GET", "k") == b"v"
                outcome = await late.outcome("GET", "k")
                assert type(outcome) is BackendUnavailable
                assert "no sentinel answered" in str(outcome)

    colour.run(scenario)


def test_one_sentinel_may_be_down(colour: Colour) -> None:
    """The first sentinel of the URL may be dead: the next one is asked, and from then on asked first."""

    async def scenario() -> None:
        with Sentinel(oldest()) as sentinel:
            sentinel.sentinels[0].kill()
            async with opened(colour, sentinel.url) as it:
                assert await it.call("SET", "k", "v") == b"OK"

    colour.run(scenario)


def test_an_unknown_service(colour: Colour) -> None:
    """A service that the sentinels do not know is named, with advice."""

    async def scenario() -> None:
        with Sentinel(oldest()) as sentinel:
            async with opened(colour, sentinel.url.replace(sentinel.service, "nobody")) as it:
                for _ in range(4):
                    with pytest.raises(BackendError, match="do not know 'nobody': check the service"):
                        await it.call("GET", "k")

    colour.run(scenario)


def test_a_demoted_primary_is_left(colour: Colour) -> None:
    """A connection to a server that became a replica is not written to again: READONLY leads to the new primary."""

    async def scenario() -> None:
        with Sentinel(oldest()) as sentinel:
            async with opened(colour, sentinel.url) as it:
                assert await it.call("INCR", "n") == 1
                await beside(colour, sentinel.failover)
                await beside(colour, sentinel.rejoin)
                outcomes = []
                while not outcomes or isinstance(outcomes[-1], Exception):
                    outcomes.append(await it.outcome("INCR", "n"))
                    await colour.sleep(0.01)
                assert {type(outcome) for outcome in outcomes[:-1]} <= {BackendUnavailable, BackendTimeout}
                assert len(outcomes) < 500
                value = await it.call("INCR", "n")
                assert sentinel.primary.client.get("n") == b"%d" % value

    colour.run(scenario)

"""The benchmark of locks, on made-up locks: a lock that does not exclude must never be timed."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest

_FOLDER = str(Path(__file__).parents[1] / "benchmarks")
sys.path.insert(0, _FOLDER)  # the benchmark is a script with its modules beside it, not a package
try:
    import bench_lock_crowd as crowd
    import bench_lock_handover as handover
    import bench_lock_raw as raw
    import bench_lock_trial as trial
    import lock_hit
    from bench_frame import Slice
    from bench_lock_crowd import ALL
    from bench_lock_handover import Handover
    from bench_lock_lineup import see_served
    from bench_lock_monitor import count_sent
    from bench_lock_ours import ALL_OURS, FAIR, ONCE
    from bench_lock_rows import CROWD, HANDOVERS, ROWS
    from bench_sync_subjects import OURS
finally:
    sys.path.remove(_FOLDER)


class Registry:
    """Made-up locks in this process, with the mistake that a test wants."""

    def __init__(self, mistake: str = "") -> None:
        self.mistake = mistake
        self.held: set[int] = set()

    def take(self, number: int) -> bool:
        if self.mistake == "takes nothing" or (self.mistake == "one for all" and self.held):
            return False
        free = number not in self.held
        self.held.add(number)
        return free or self.mistake == "excludes nobody"

    def give(self, number: int) -> None:
        if self.mistake != "keeps it":
            self.held.discard(number)

    def attempt(self, number: int) -> bool:
        if not self.take(number):
            return False
        self.held.discard(number)
        return True

    def cycle(self, number: int) -> None:
        self.take(number)
        if self.mistake != "cycle keeps it":
            self.give(number)

    def see(self, traces: str) -> bool:
        return traces == "key" and self.mistake != "leaves no trace"

    @contextmanager
    def hold(self, number: int) -> Generator[None]:
        self.take(number)
        try:
            yield
        finally:
            self.give(number)

    @asynccontextmanager
    async def ahold(self, number: int) -> AsyncGenerator[None]:
        with self.hold(number):
            yield

    async def aattempt(self, number: int) -> bool:
        return self.attempt(number)

    async def acycle(self, number: int) -> None:
        self.cycle(number)


async def nothing() -> None:
    """Close nothing."""


@pytest.fixture(params=["sync", "async"])
def judge(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Try made-up locks with one mistake, in each colour."""

    def try_sync(mistake: str) -> None:
        made = Registry(mistake)
        lock = trial.SyncLock(made.hold, made.attempt, lambda: None, made.cycle)
        trial.try_sync(lock, lock, made.see)

    def try_async(mistake: str) -> None:
        made = Registry(mistake)
        lock = trial.AsyncLock(made.ahold, made.aattempt, nothing, made.acycle)
        asyncio.run(trial.try_async(lock, lock, made.see))

    return try_sync if request.param == "sync" else try_async


def test_a_lock_that_excludes_may_compete(judge: Callable[[str], None]) -> None:
    """It is taken, seen, keeps others out, keeps no other lock, and is given back."""
    judge("")


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        ("takes nothing", "could not take a lock"),
        ("leaves no trace", "no key on the server"),
        ("excludes nobody", "two held one lock"),
        ("one for all", "refused a lock that nobody held"),
        ("keeps it", "did not give the lock back"),
        ("cycle keeps it", "what is timed did not give"),
    ],
)
def test_a_lock_with_a_mistake_has_failed(judge: Callable[[str], None], mistake: str, complaint: str) -> None:
    """Whatever a lock must do is seen to be done before anybody is timed."""
    with pytest.raises(ValueError, match=complaint):
        judge(mistake)


def test_what_is_timed_is_the_context_unless_a_call_is_given() -> None:
    """A subject needs no call of its own: its lock is entered and left."""
    made = Registry()
    entered: list[int] = []

    @contextmanager
    def hold(number: int) -> Generator[None]:
        entered.append(number)
        yield

    trial.SyncLock(hold, made.attempt, lambda: None).cycling()(3)
    assert entered == [3]
    assert trial.SyncLock(hold, made.attempt, lambda: None, made.cycle).cycling() == made.cycle


def test_a_slice_that_the_server_did_not_serve_has_failed() -> None:
    """Taking and giving back are two commands at least."""
    turn = Slice(10, 1.0, 1.0)
    counts = iter([5, 25, 5, 24])
    assert see_served(lambda: turn, lambda: next(counts)) is turn
    with pytest.raises(ValueError, match="19 commands for 10 locks"):
        see_served(lambda: turn, lambda: next(counts))


def test_every_row_has_us_and_peers_and_each_promise_a_row() -> None:
    """Nobody can be left out of a row unnoticed."""
    rows = (*ROWS, *HANDOVERS, CROWD)
    names = [row.load.name for row in rows]
    assert len(set(names)) == len(names)
    assert set(lock_hit.TARGETS) <= {row.load.name for row in ROWS}
    for row in rows:
        assert len(set(row.builders) - {raw.RAW, *ALL_OURS}) >= 5
    assert all({raw.RAW, OURS, ONCE} <= set(row.builders) for row in ROWS)
    assert all({OURS, FAIR} <= set(row.builders) for row in (*HANDOVERS, CROWD))


def test_the_baseline_gives_back_only_what_is_its_own() -> None:
    """Its script deletes the key under its own token, and leaves another's."""
    client = fakeredis.FakeRedis()
    client.set("k", b"mine")
    assert client.eval(raw.GIVE_BACK, 1, "k", b"another's") == 0
    assert client.get("k") == b"mine"
    assert client.eval(raw.GIVE_BACK, 1, "k", b"mine") == 1
    assert client.get("k") is None


def test_commands_of_scripts_are_not_counted() -> None:
    """Only what clients sent, up to the mark, which is not counted either."""
    lines = [
        b'+1.0 [0 127.0.0.1:5] "evalsha" "ab" "1" "k"\r\n',
        b'+1.1 [0 lua] "GET" "k"\r\n',
        b'+1.2 [0 127.0.0.1:6] "SUBSCRIBE" "news"\r\n',
        b'+1.3 [0 127.0.0.1:7] "ECHO" "counted-1"\r\n',
        b'+1.4 [0 127.0.0.1:5] "PING"\r\n',
    ]
    assert count_sent(iter(lines), b"counted-1") == 2
    with pytest.raises(ConnectionError):
        count_sent(iter(lines), b"counted-2")


def waiting(hold: Callable[[int], Any]) -> Any:
    """Return a subject of which only waiting matters."""
    return trial.SyncLock(hold, lambda _: True, lambda: None)


def awaiting(hold: Callable[[int], Any]) -> Any:
    """Return an asyncio subject of which only waiting matters."""
    return trial.AsyncLock(hold, lambda _: asyncio.sleep(0, True), nothing)


def test_a_handover_ends_when_the_waiter_has_the_lock() -> None:
    """The time is that from giving back to having; in both colours."""
    mutex = threading.Lock()
    lock = waiting(lambda _: mutex)
    assert 0 <= handover.turn_sync(lock, lock, 0.001) < handover.PATIENCE

    async def scenario() -> float:
        shared = asyncio.Lock()
        subject = awaiting(lambda _: shared)
        return await handover.turn_async(subject, subject, 0.001)

    assert 0 <= asyncio.run(scenario()) < handover.PATIENCE


def test_a_waiter_that_did_not_wait_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has the lock before it was given back held it beside its holder."""
    left = threading.Event()

    @contextmanager
    def barge(_: int) -> Generator[None]:
        yield
        left.set()

    free = waiting(lambda _: nullcontext())
    clock = SimpleNamespace(perf_counter=time.perf_counter, sleep=lambda _: left.wait())
    monkeypatch.setattr(handover, "time", clock)  # the holder holds until the other has had the lock
    with pytest.raises(ValueError, match="before it was given back"):
        handover.turn_sync(free, waiting(barge), 0.001)
    afree = awaiting(lambda _: nullcontext())
    with pytest.raises(ValueError, match="before it was given back"):
        asyncio.run(handover.turn_async(afree, afree, 0.001))


def test_a_waiter_that_fails_or_waits_for_ever_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error reaches the measuring thread, and it does not hang the run."""
    free = waiting(lambda _: nullcontext())
    over = threading.Event()

    @contextmanager
    def fail(_: int) -> Generator[None]:
        raise OSError("gone")
        yield

    @contextmanager
    def wait_for_ever(_: int) -> Generator[None]:
        over.wait()
        yield

    with pytest.raises(OSError, match="gone"):
        handover.turn_sync(free, waiting(fail), 0.001)
    monkeypatch.setattr(handover, "PATIENCE", 0.01)
    with pytest.raises(ValueError, match="did not get the lock"):
        handover.turn_sync(free, waiting(wait_for_ever), 0.001)
    over.set()


def test_handovers_take_turns_and_failures_leave_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has one turn a round; one that fails is named and asked no more; commands are counted apart from times."""
    turns: list[str] = []

    def ready(build: str, _port: int, _stack: object) -> Callable[[float], float]:
        def turn(_: float) -> float:
            turns.append(build)
            if build == "bad" and turns.count("bad") == 3:
                raise OSError("gone")
            return 0.002

        return turn

    monkeypatch.setattr(handover, "_ready_sync", ready)
    monkeypatch.setattr(handover, "empty", lambda _port: None)
    monkeypatch.setattr(handover, "monitoring", lambda _port: nullcontext(lambda: 6))
    result = handover.hand_over(HANDOVERS[0], {"good": "good", "bad": "bad"}, 0, 4, Random(1))
    assert [one.name for one in result.standings] == ["good"]
    assert result.standings[0] == Handover("good", 2.0, 2.0, 6.0)
    assert result.failures == {"bad": "OSError: gone"}
    assert (turns.count("good"), turns.count("bad")) == (1 + 4 + 3, 3)


def test_a_summary_has_the_median_and_the_slow_ones() -> None:
    """Milliseconds; the ninth of ten parts is where the slow ones begin."""
    one = handover.summarize("a", [number / 1000 for number in range(1, 12)], 5.0)
    assert (one.median_ms, one.slow_ms) == pytest.approx((6.0, 10.0))


def gather(hold: Callable[[int], Any], size: int = 20, patience: float = 30) -> tuple[str, list[int], float]:
    """Let a crowd take a made-up lock."""

    async def scenario() -> tuple[str, list[int], float]:
        return await crowd.gather_at(awaiting(hold), size, patience)

    return asyncio.run(scenario())


def test_a_crowd_is_served_in_the_order_of_the_lock() -> None:
    """Everybody is noted when he has the lock; asyncio's own lock is fair."""
    shared = asyncio.Lock()
    ended, visits, _ = gather(lambda _: shared)
    assert (ended, visits) == (ALL, list(range(20)))


def test_a_crowd_that_is_not_served_is_told() -> None:
    """The time limit, an error, or two at once: each is an end of its own, and those served are counted."""
    numbers = itertools.count()

    @asynccontextmanager
    async def stop_after_three(_: int) -> AsyncGenerator[None]:
        if next(numbers) >= 3:
            await asyncio.sleep(3600)
        yield

    @asynccontextmanager
    async def fail(_: int) -> AsyncGenerator[None]:
        raise OSError("gone")
        yield

    ended, visits, _ = gather(lambda _: nullcontext())
    assert ended == "two held it at once"
    shared = asyncio.Lock()

    @asynccontextmanager
    async def slow(number: int) -> AsyncGenerator[None]:
        async with shared, stop_after_three(number):
            yield

    ended, visits, _ = gather(slow, patience=0.05)
    assert ended.startswith("gave up")
    assert visits == [0, 1, 2]
    assert gather(fail)[0] == "OSError: gone"

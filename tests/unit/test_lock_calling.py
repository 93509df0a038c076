"""Promises of who is called: the first in the queue, in time, and one that is dead holds up the others for a second."""

from __future__ import annotations

import pytest

from holdfast.commands import Reply
from holdfast.scripts import locks as scripts
from support.lock_models import LockServer


class Fair:
    """A lock in order of arrival."""

    def __init__(self) -> None:
        self.server = LockServer()

    def take(self, member: str, *, waits: bool = True, lease: float = 30) -> Reply:
        return self.server.call(scripts.take_fair(self.server.places, member, lease, waits, 8))

    def leave(self, member: str) -> Reply:
        return self.server.call(scripts.leave_fair(self.server.places, member))

    def pass_by(self, milliseconds: int) -> None:
        self.server.now += milliseconds * 1000


class Share(Fair):
    """Something that several may hold."""

    def __init__(self, capacity: int = 0) -> None:
        self.server = LockServer("rwlock")
        self.capacity = capacity

    def take(self, member: str, *, waits: bool = True, lease: float = 30) -> Reply:
        command = scripts.take_share(
            self.server.places, member, lease, self.capacity, member.startswith("w:"), waits, 8
        )
        return self.server.call(command)

    def leave(self, member: str) -> Reply:
        return self.server.call(scripts.leave_share(self.server.places, member))


both = pytest.mark.parametrize(
    ("it", "names"),
    [
        pytest.param(Fair, ("holder", "first", "second"), id="fair"),
        pytest.param(Share, ("w:holder", "w:first", "w:second"), id="share"),
    ],
)


@both
def test_a_dead_head_costs_a_second(it: type[Fair], names: tuple[str, str, str]) -> None:
    """The first in the queue is called; if it does not come, the next gets the lock a second later, and is told so."""
    lock, (holder, first, second) = it(), names
    lock.take(holder)
    assert lock.take(first) == [0, 30_000, 1]
    assert lock.take(second) == [0, -1, 2]
    assert lock.leave(holder) == 1
    assert lock.server.news() == [first]
    assert lock.take(second) == [0, 1000, 2]
    lock.pass_by(999)
    assert lock.take(second) == [0, 1, 2]
    lock.pass_by(1)
    assert lock.take(second)[0] == 1
    assert lock.server.news() == []
    assert lock.server.waiting() == []


@both
def test_a_head_that_nobody_called_is_called_by_whoever_looks(it: type[Fair], names: tuple[str, str, str]) -> None:
    """A lease that runs out tells nobody: the next that looks, be it a passer-by, calls the head, once."""
    lock, (holder, first, second) = it(), names
    lock.take(holder, lease=0.5)
    lock.take(first)
    lock.pass_by(501)
    stranger = second.replace("second", "stranger")
    assert lock.take(stranger, waits=False) == [0, 1000, 0]
    assert lock.server.news() == [first]
    lock.pass_by(400)
    assert lock.take(second) == [0, 600, 2]
    assert lock.server.news() == []
    lock.pass_by(600)
    assert lock.take(stranger, waits=False) == [0, 1000, 0]
    assert lock.server.news() == [second]
    assert lock.take(second)[0] == 1


@both
def test_a_head_that_is_called_gets_it(it: type[Fair], names: tuple[str, str, str]) -> None:
    """Up to the last millisecond of its second the head has the lock for itself, and leaves the queue with it."""
    lock, (holder, first, second) = it(), names
    for member in names:
        lock.take(member)
    lock.leave(holder)
    lock.pass_by(999)
    assert lock.take(second, waits=False)[0] == 0
    assert lock.take(first)[0] == 1
    assert [member for member, _ in lock.server.waiting()] == [second]
    lock.leave(first)
    assert lock.server.news() == [first, second]


@both
def test_calling_again_gives_no_more_time(it: type[Fair], names: tuple[str, str, str]) -> None:
    """Somebody who takes and leaves beside the queue, or stops waiting in it, calls a dead head again, but in vain."""
    lock, (holder, first, second) = it(), names
    for member in names:
        lock.take(member)
    lock.leave(holder)
    for _ in range(3):
        lock.pass_by(300)
        extra = second.replace("second", "extra")
        lock.take(extra)
        lock.leave(extra)
    assert set(lock.server.news()) == {first}
    lock.pass_by(100)
    assert lock.take(second)[0] == 1


@both
def test_a_waiter_that_leaves_makes_way(it: type[Fair], names: tuple[str, str, str]) -> None:
    """A head that was called and stops waiting calls the next; one that leaves while another holds it calls nobody."""
    lock, (holder, first, second) = it(), names
    for member in names:
        lock.take(member)
    extra = second.replace("second", "extra")
    lock.take(extra)
    assert lock.leave(extra) == 0
    assert lock.server.news() == []
    lock.leave(holder)
    assert lock.leave(first) == 0
    assert lock.server.news() == [first, second]
    assert lock.server.waiting() == [(second, lock.server.now // 1000 + 1000)]
    assert lock.take(second)[0] == 1


@both
def test_a_queue_that_is_lost(it: type[Fair], names: tuple[str, str, str]) -> None:
    """Where Redis has evicted either of its keys, nobody is stuck: those who wait queue again when they look."""
    for lost in ("queue", "alive"):
        lock, (holder, first, second) = it(), names
        for member in names:
            lock.take(member)
        lock.server.redis.expire_now(getattr(lock.server.places, lost))
        assert lock.take(second) == [0, 30_000, 1]
        lock.leave(holder)
        assert lock.server.news() == [second]
        assert lock.take(second)[0] == 1
        assert lock.take(first, waits=False)[0] == 0


def test_all_may_look_when_nobody_queues() -> None:
    """What is given back, or no more wanted by the last in the queue, is told to those who wait without a queue."""
    lock = Fair()
    lock.take("holder")
    lock.leave("holder")
    assert lock.server.news() == [""]
    lock.take("holder", lease=0.5)
    lock.take("first")
    lock.pass_by(501)
    lock.leave("first")
    assert lock.server.news() == [""]
    assert lock.leave("stranger") == 0
    assert lock.server.news() == []


def test_fair_and_unfair_exclude_each_other() -> None:
    """A lock is the same whether it is asked for in order or not; its plain release tells all, also the queue."""
    lock = Fair()
    assert lock.server.call(scripts.take(lock.server.places, "unfair", 30))[0] == 1
    assert lock.take("fair") == [0, 30_000, 1]
    assert lock.server.call(scripts.leave(lock.server.places, "unfair")) == 1
    assert lock.server.news() == [""]
    assert lock.take("fair")[0] == 1
    assert lock.server.call(scripts.take(lock.server.places, "unfair", 30)) == [0, 30_000]


def test_a_row_of_readers_wakes_one_by_one() -> None:
    """A writer calls the first reader, each reader the next, up to the next writer; that is called by the last one."""
    lock = Share()
    for member in ("w:1", "r:1", "r:2", "r:3", "w:2", "r:4"):
        lock.take(member)
    lock.leave("w:1")
    for reader, called in (("r:1", ["r:1", "r:2"]), ("r:2", ["r:3"]), ("r:3", [])):
        assert lock.take(reader)[0] == 1
        assert lock.server.news() == called
    assert lock.take("r:4") == [0, -1, 2]
    assert lock.take("r:5", waits=False) == [0, 30_000, 0]
    for reader, called in (("r:2", []), ("r:1", []), ("r:3", ["w:2"])):
        lock.leave(reader)
        assert lock.server.news() == called


def test_permits_that_are_given_back_at_once() -> None:
    """Of several permits given back before anybody looks, each finds its waiter."""
    lock = Share(capacity=2)
    for number in range(5):
        lock.take(f"r:{number}")
    lock.leave("r:0")
    lock.leave("r:1")
    assert lock.server.news() == ["r:2", "r:2"]
    assert lock.take("r:2")[0] == 1
    assert lock.server.news() == ["r:3"]
    assert lock.take("r:3")[0] == 1
    assert lock.server.news() == []


def test_a_waiter_that_leaves_hurries_nobody_to_a_full_semaphore() -> None:
    """The next may look, since nobody knows here whether there is room, but keeps its place if it does not."""
    lock = Share(capacity=1)
    for number in range(3):
        lock.take(f"r:{number}")
    before = lock.server.waiting()
    lock.leave("r:1")
    assert lock.server.news() == ["r:2"]
    assert lock.server.waiting() == before[1:]


def test_fewer_permits_than_are_held() -> None:
    """Where fewer may hold it than do, who waits is told when enough leases will have run out; none is driven out."""
    lock = Share(capacity=3)
    for number in (1, 2, 3):
        lock.take(f"r:{number}", lease=10 * number)
    lock.capacity = 2
    assert lock.take("r:4") == [0, 20_000, 1]
    assert lock.take("r:3", lease=30)[0] == 1
    lock.leave("r:1")
    assert lock.take("r:4") == [0, 20_000, 1]
    lock.leave("r:2")
    assert lock.take("r:4")[0] == 1


def test_a_writer_is_told_the_end_of_the_last_reader() -> None:
    """A writer looks again when all readers will have left, a reader when the writer will have."""
    lock = Share()
    lock.take("r:1", lease=20)
    lock.take("r:2", lease=10)
    assert lock.take("w:1", lease=5) == [0, 20_000, 1]
    lock.leave("r:1")
    lock.leave("r:2")
    assert lock.take("w:1", lease=5)[0] == 1
    assert lock.take("r:3") == [0, 5000, 1]

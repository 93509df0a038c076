"""Promises of subscriptions and background work when processes fork and end."""

from __future__ import annotations

import time
from textwrap import dedent

import pytest

from faults.programs import run
from support.topologies import Servers

HEAD = """
class Notes:
    def __init__(self): self.all = []
    def up(self): self.all.append("up")
    def down(self): self.all.append("down")
    def heard(self, topic, message): self.all.append((topic, message))
    def wait_for(self, *notes):
        deadline = time.monotonic() + 30
        while self.all[-len(notes):] != list(notes):
            assert time.monotonic() < deadline, self.all
            time.sleep(0.005)

def publish(backend, topic, message):
    backend.blocking.call_now(Command(("PUBLISH", topic, message)))

def child(work):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            gc.collect()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pid

def good(pid):
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

b, topic = Backend(url, print), f"fork:{os.getpid()}"
"""


@pytest.mark.parametrize("kind", ["redis62", "redis7", "cluster", "sentinel", "memory"])
def test_fork(kind: str, servers: Servers) -> None:
    """A child's listeners are down at once, and come up when somebody subscribes there; the parent notices nothing."""
    program = """
    notes = Notes()
    b.blocking.subscribe(topic, notes)
    notes.wait_for("up")

    def work():
        assert notes.all == ["up", "down"], notes.all
        assert threading.active_count() == 1
        mine = Notes()
        cancel = b.blocking.subscribe(topic, mine)
        mine.wait_for("up")
        notes.wait_for("up", "down", "up")
        publish(b, topic, b"from child")
        mine.wait_for("up", (topic, b"from child"))
        notes.wait_for("up", (topic, b"from child"))
        cancel()
        good(child(lambda: notes.wait_for("down")))

    pid = child(work)
    good(pid)
    publish(b, topic, b"from parent")
    notes.wait_for((topic, b"from parent"))
    assert "down" not in notes.all
    good(child(lambda: b.close()))
    good(child(lambda: None))
    publish(b, topic, b"last")
    notes.wait_for((topic, b"from parent"), (topic, b"last"))
    b.close()
    """
    assert run(HEAD + dedent(program), servers.topology(kind).url) == ""


@pytest.mark.parametrize("kind", ["redis62", "memory"])
def test_fork_while_others_subscribe(kind: str, servers: Servers) -> None:
    """A fork in the middle of everything leaves no lock behind: neither hangs."""
    program = """
    stop = threading.Event()

    def hammer(number):
        while not stop.is_set():
            b.blocking.subscribe(f"{topic}:{number}", Notes())()
            time.sleep(0.0005)  # or the server has no time for anybody else

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(4)]
    [thread.start() for thread in threads]

    def work():
        notes = Notes()
        b.blocking.subscribe(topic, notes)
        notes.wait_for("up")
        publish(b, topic, b"m")
        notes.wait_for("up", (topic, b"m"))

    try:
        for _ in range(10):
            good(child(work))
    finally:
        stop.set()
        [thread.join() for thread in threads]
    """
    assert run(HEAD + dedent(program), servers.topology(kind).url) == ""


@pytest.mark.parametrize("kind", ["redis62", "cluster", "memory"])
@pytest.mark.parametrize("ending", ["b.close()", "asyncio.run(b.aclose())", "del b; gc.collect()", "pass"])
def test_a_program_that_ends_says_nothing(kind: str, ending: str, servers: Servers) -> None:
    """However a program ends that has subscribed, it prints nothing and ends at once."""
    program = """
    notes = Notes()
    b.blocking.subscribe(topic, notes)
    notes.wait_for("up")
    """
    started = time.monotonic()
    assert run(HEAD + dedent(program) + ending, servers.topology(kind).url) == ""
    assert time.monotonic() - started < 20


BACKGROUND = """
b = Backend(url, print)

def spawn(seconds):
    async def work():
        b.blocking.call_now(get("k"))
        time.sleep(seconds)
        assert b.blocking.call_now(put("k", b"v", 60)) == b"OK"
        print("stored")
    b.blocking.spawn(work(), lambda: None)
"""


@pytest.mark.parametrize("kind", ["redis62", "memory"])
def test_background_work_is_not_lost_at_exit(kind: str, servers: Servers) -> None:
    """The interpreter waits for a refresh that is under way, which still has its connections."""
    assert run(f"{BACKGROUND}\nspawn(0.3)", servers.topology(kind).url) == "stored\n"


def test_background_work_that_never_ends(servers: Servers) -> None:
    """It does not keep a program from ending."""
    assert run(f"{BACKGROUND}\nspawn(1000)", servers.topology("redis62").url) == ""


def test_background_work_after_a_fork(servers: Servers) -> None:
    """A child waits for none of its parent's threads, runs none of its recurring work, and can have its own."""
    program = """
    parents, childs, go_on = [], [], threading.Event()

    def recur(notes):
        async def work():
            notes.append(os.getpid())
            return True
        return work

    async def wait():
        go_on.wait(30)

    for _ in range(16):
        b.blocking.spawn(wait(), lambda: None)
    b.blocking.every(0.01, recur(parents))
    while not parents: time.sleep(0.005)
    assert not b.blocking.free_hands()

    def work():
        assert b.blocking.free_hands()
        b.blocking.every(0.01, recur(childs))
        count = len(parents)
        while len(childs) < 3: time.sleep(0.005)
        assert len(parents) == count
        started = time.monotonic()
        b.close()
        assert time.monotonic() - started < 2

    good(child(work))
    go_on.set()
    b.close()
    """
    assert run(HEAD + dedent(program), servers.topology("redis62").url) == ""

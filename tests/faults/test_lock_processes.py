"""Promises of locks to real processes: they exclude each other, whoever is killed or stopped in the midst of his work.

The resource is a database with a count. Whoever holds the lock reads the count and writes it back one greater, with
nothing else to protect it than the lock and its fencing token.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from faults.limit_crowds import LONG
from faults.programs import begun
from holdfast import Layer, LockLost
from support.programs import oldest
from support.standalone import Standalone
from support.waiting import until

BUMPS: Final = 1000 if LONG else 40
"""How often each process gets the lock at least."""
PROCESSES: Final = 4
KINDS: Final = {
    "plain": "layer.lock('k', lease=given['lease'])",
    "fair": "layer.lock('k', lease=given['lease'], fair=True)",
    "permit": "layer.semaphore('k', 1, lease=given['lease'])",
    "writer": "layer.read_write_lock('k').write(lease=given['lease'])",
}
LOCKS: Final[dict[str, Any]] = {
    "plain": lambda layer: layer.lock("k"),
    "fair": lambda layer: layer.lock("k", fair=True),
    "permit": lambda layer: layer.semaphore("k", 1),
    "writer": lambda layer: layer.read_write_lock("k").write(),
}

_HEAD: Final = """
import json, random, signal, sqlite3
from holdfast import Layer, LockLost
given = json.loads(sys.argv[2])
layer = Layer(url, namespace="bumps")
lock = eval(given["lock"])

class Resource:
    # Whoever comes says his token first: from then on all who have a smaller one are refused.
    def __init__(self):
        self.base = sqlite3.connect(given["file"], timeout=60, isolation_level=None, check_same_thread=False)
        self.base.execute("PRAGMA synchronous=OFF")

    def begin(self, fence):
        return self.base.execute("UPDATE count SET fence = ? WHERE fence <= ?", (fence, fence)).rowcount == 1

    def read(self):
        return self.base.execute("SELECT n FROM count").fetchone()[0]

    def write(self, n, fence):
        self.base.execute("BEGIN IMMEDIATE")
        done = self.base.execute("UPDATE count SET n = ?, fence = ? WHERE fence <= ?", (n, fence, fence)).rowcount == 1
        if done:
            self.base.execute("INSERT INTO log VALUES (?, ?, ?)", (n, fence, os.getpid()))
        self.base.execute("COMMIT")
        return done
"""

BUMP: Final = """
# Bump the count until told to stop; at the third bump do something to oneself, once, holding the lock.
seen = {"bumps": 0, "refused": 0, "lost": 0, "honest": 0}

def bump(held, resource, begun):
    if not resource.begin(held.fencing_token):
        seen["refused"] += 1
        return
    n = resource.read()
    time.sleep(random.random() / 500)
    if given["fate"] and begun >= 3:
        fate, given["fate"] = given["fate"], 0
        os.kill(os.getpid(), fate)
        time.sleep(0.05)  # a thread may go on a little before its process is stopped
        seen["honest"] += held.lost and held.remaining == 0
    seen["bumps" if resource.write(n + 1, held.fencing_token) else "refused"] += 1

def thread():
    resource, begun = Resource(), 0
    while given["fate"] or not os.path.exists(given["file"] + ".stop"):
        begun += 1
        try:
            with lock as held:
                bump(held, resource, begun)
        except LockLost:
            seen["lost"] += 1

async def task():
    resource, begun = Resource(), 0
    while given["fate"] or not os.path.exists(given["file"] + ".stop"):
        begun += 1
        try:
            async with lock as held:
                bump(held, resource, begun)
        except LockLost:
            seen["lost"] += 1

async def tasks():
    async with layer:
        await asyncio.gather(task(), task())

if given["colour"] == "async":
    asyncio.run(tasks())
else:
    threads = [threading.Thread(target=thread) for _ in range(2)]
    [each.start() for each in threads]
    [each.join() for each in threads]
    layer.close()
print(json.dumps(seen))
"""

HOLD: Final = """
# Take the lock, stand still, and go on when told.
resource = Resource()

async def stay():
    async with layer:
        held = await lock.aacquire()
        return held, await told(held)

async def told(held):
    print(held.fencing_token, flush=True)
    stand_still()
    seen = {"lost": held.lost, "remaining": held.remaining, "written": resource.write(99, held.fencing_token)}
    for verb in ("check", "extend", "release"):
        try:
            if given["colour"] == "async" and verb != "check":
                await getattr(held, "a" + verb)()
            else:
                getattr(held, verb)()
        except LockLost:
            seen[verb] = "LockLost"
    return seen

def stand_still():
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.05)  # a thread may go on a little before its process is stopped

if given["colour"] == "async":
    held, seen = asyncio.run(stay())
else:
    with layer:
        held = lock.acquire()
        seen = drive(told(held))
print(json.dumps(seen))
"""


@contextmanager
def resource(folder: Path) -> Iterator[tuple[str, sqlite3.Connection]]:
    """Make a count, and give its file and a connection."""
    file = str(folder / "count")
    with closing(sqlite3.connect(file, timeout=60, isolation_level=None)) as base:
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("CREATE TABLE count (n INTEGER, fence INTEGER)")
        base.execute("INSERT INTO count VALUES (0, 0)")
        base.execute("CREATE TABLE log (n INTEGER, fence INTEGER, process INTEGER)")
        yield file, base


@contextmanager
def started(program: str, url: str, each: list[dict[str, Any]]) -> Iterator[list[subprocess.Popen[str]]]:
    """Start one process for each of what is given; whoever still runs at the end is killed."""
    processes = [begun(f"{_HEAD}{program}", url, json.dumps(given)) for given in each]
    try:
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


def said(process: subprocess.Popen[str]) -> Any:
    """Wait until a process has ended well, and return what it printed last."""
    printed, complaints = process.communicate(timeout=60)
    assert complaints == "", complaints
    assert process.returncode == 0
    return json.loads(printed.splitlines()[-1])


def stopped(process: subprocess.Popen[str]) -> None:
    """Wait until a process has stopped itself."""
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)


def rows(base: sqlite3.Connection) -> list[tuple[int, int, int]]:
    return base.execute("SELECT n, fence, process FROM log ORDER BY rowid").fetchall()


def bumps_of(base: sqlite3.Connection, process: subprocess.Popen[str]) -> int:
    """Return how often a process has bumped the count."""
    return sum(each == process.pid for _, _, each in rows(base))


def stop(file: str) -> None:
    """Tell all who bump to stop."""
    Path(f"{file}.stop").touch()


def check_log(base: sqlite3.Connection) -> int:
    """See that no bump was lost and that the tokens rise; return how many bumps there are."""
    log = rows(base)
    assert [n for n, _, _ in log] == list(range(1, len(log) + 1))
    fences = [fence for _, fence, _ in log]
    assert all(earlier < later for earlier, later in pairwise(fences))
    return len(log)


@pytest.mark.parametrize("kind", KINDS)
def test_processes_that_contend(kind: str, tmp_path: Path) -> None:
    """Of threads and tasks in four processes one at a time bumps the count, and all of them come to it."""
    with Standalone(oldest()) as server, resource(tmp_path) as (file, base):
        given = {"lock": KINDS[kind], "file": file, "lease": 10, "fate": 0}
        each = [given | {"colour": ("sync", "async")[number % 2]} for number in range(PROCESSES)]
        with started(BUMP, server.url, each) as processes:
            until(lambda: min(bumps_of(base, process) for process in processes) >= BUMPS, "all come to it", within=120)
            stop(file)
            seen = [said(process) for process in processes]
        total = check_log(base)
        print(f"\n{kind}: {total} bumps, {seen}")
        assert total == sum(one["bumps"] for one in seen)
        assert sum(one["refused"] + one["lost"] for one in seen) == 0
        assert all(one["bumps"] for one in seen)
        assert not [key for key in server.client.scan_iter() if not key.endswith(b":fence")]


@pytest.mark.parametrize(
    ("kind", "colour"),
    [
        ("plain", "sync"),
        ("plain", "async"),
        ("fair", "sync"),
        ("fair", "async"),
        ("permit", "sync"),
        ("writer", "async"),
    ],
)
def test_processes_that_are_killed_or_stopped_while_they_hold(kind: str, colour: str, tmp_path: Path) -> None:
    """The others go on when the lease is over; one that goes on later knows, and writes nothing any more."""
    with Standalone(oldest()) as server, resource(tmp_path) as (file, base):
        given = {"lock": KINDS[kind], "file": file, "lease": 0.5, "colour": colour}
        fates = (signal.SIGKILL, signal.SIGSTOP, 0, 0)
        with started(BUMP, server.url, [given | {"fate": int(fate)} for fate in fates]) as processes:
            killed, paused, *others = processes
            stopped(paused)
            before = len(rows(base))
            until(lambda: len(rows(base)) > before + 2, "others go on past the lease")
            paused.send_signal(signal.SIGCONT)
            until(lambda: killed.poll() is not None, "the other one has killed itself")
            until(lambda: len(rows(base)) > before + 20, "all goes on")
            stop(file)
            seen = [said(process) for process in (paused, *others)]
            assert killed.returncode == -signal.SIGKILL
        total = check_log(base)
        print(f"\n{kind}, {colour}: {total} bumps, {seen}")
        assert total == sum(one["bumps"] for one in seen) + bumps_of(base, killed)
        assert seen[0]["honest"] >= 1
        assert seen[0]["refused"] >= 1
        assert seen[0]["lost"] >= 1


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_holder_that_stands_still_past_its_lease(kind: str, colour: str, tmp_path: Path) -> None:
    """It sees at once that the lock is lost; the resource refuses it; nothing that it does harms the next holder."""
    with Standalone(oldest()) as server, resource(tmp_path) as (file, base):
        given = {"lock": KINDS[kind], "file": file, "lease": 0.4, "colour": colour}
        with started(HOLD, server.url, [given]) as (process,), Layer(server.url, namespace="bumps") as layer:
            stopped(process)
            assert process.stdout is not None
            fence = int(process.stdout.readline())
            lock = LOCKS[kind](layer)
            with lock as held:
                assert held.fencing_token > fence
                base.execute("UPDATE count SET n = 1, fence = ?", (held.fencing_token,))
                process.send_signal(signal.SIGCONT)
                seen = said(process)
                held.check()
                held.extend()
        assert seen == {"lost": True, "remaining": 0, "written": False} | dict.fromkeys(
            ("check", "extend", "release"), LockLost.__name__
        )
        assert base.execute("SELECT n FROM count").fetchone() == (1,)

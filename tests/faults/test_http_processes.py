"""Processes that share the HTTP cache, one under WSGI and one under ASGI: what one stores or changes the other sees."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from faults.programs import begun
from support.http_processes import Served, Site, site
from support.programs import oldest
from support.standalone import Standalone
from support.waiting import until

FRESH = ("Cache-Control", "max-age=600")
STALE = (("Cache-Control", "max-age=50, stale-while-revalidate=900"), ("Age", "100"))


@pytest.fixture(scope="module")
def both() -> Iterator[Site]:
    """Give one process of each colour; tests use paths of their own."""
    with (
        Standalone(oldest()) as server,
        Standalone(oldest()) as other,
        site(server, other, ["sync", "async"], wait=50) as it,
    ):
        yield it


@pytest.fixture
def path(namespace: str) -> str:
    """Give a path of the test's own."""
    return f"/{namespace}"


@pytest.fixture(params=["WSGI first", "ASGI first"])
def pair(request: pytest.FixtureRequest, both: Site) -> tuple[Served, Served]:
    """Give the two processes in either order."""
    first, second = both.processes
    return (first, second) if request.param == "WSGI first" else (second, first)


def crowd(processes: Any, path: str, size: int = 10) -> list[tuple[Served, int]]:
    """Have each process answer so many clients at once."""
    return [(each, each.begin("ask", "GET", path)) for _ in range(size) for each in processes]


def results(orders: list[tuple[Served, int]]) -> list[Any]:
    return [process.result(number) for process, number in orders]


def _misses(both: Site) -> list[int]:
    """Return how many clients have missed in each process; who is the first for a URL counts a little later."""
    return [each.do("misses") for each in both.processes]


def _is_new(process: Served, path: str) -> bool:
    return bool(process.get(path)[4] == "new end")


@pytest.mark.parametrize("times", [1, 100_000], ids=["short", "long"])
def test_what_one_stores_the_other_serves(both: Site, pair: tuple[Served, Served], path: str, times: int) -> None:
    """The app runs once, whichever process a client comes to; a long body is whole."""
    both.app(path, FRESH, body="abc", times=times)
    one, other = pair
    stored = one.get(path)
    assert stored[3] == 3 * times + 4
    for process in (other, one, other):
        got = process.get(path)
        assert ";hit" in got[1]
        assert got[3:] == stored[3:]
    assert both.runs(path) == [f"{one.name} GET"]


@pytest.mark.parametrize("change", ["purge", "tag", "POST", "DELETE"])
def test_what_one_changes_the_other_knows_at_once(
    both: Site, pair: tuple[Served, Served], path: str, change: str
) -> None:
    """As soon as a purge has returned, tags are invalidated, or an unsafe request is answered."""
    one, other = pair
    both.app(path, FRESH, ("Cache-Tag", path))
    for number in range(5):
        both.app(path, FRESH, ("Cache-Tag", path), body=f"{number}")
        other.get(path)
        assert ";hit" in other.get(path)[1] or number
        if change == "purge":
            assert one.do("purge", path) == 1
        elif change == "tag":
            one.do("tag", path)
        else:
            one.do("ask", change, path)
        both.app(path, FRESH, ("Cache-Tag", path), body=f"new {number}")
        assert other.get(path)[4].startswith(f"new {number}")
        one.do("purge", path)


def test_concurrent_misses_run_the_app_once(both: Site, path: str) -> None:
    """Ten clients of each process at once: one is answered by the app, and all get the same."""
    both.app(path, FRESH, gate=path)
    before = _misses(both)
    orders = crowd(both.processes, path)
    until(lambda: all(now >= then + 9 for now, then in zip(_misses(both), before, strict=True)), "nearly all missed")
    both.open(path)
    got = results(orders)
    assert len(both.runs(path)) == 1
    assert len({tuple(each[3:]) for each in got}) == 1
    assert sum("collapsed" in each[1] for each in got) >= 2
    assert sum("stored" in each[1] for each in got) == 1


def test_what_is_not_to_be_stored_holds_up_nobody(both: Site, path: str) -> None:
    """The head of the first answer lets all go that have waited, while its body is still to come; later ones pass."""
    both.app(path, ("Cache-Control", "no-store"), gate=f"{path} head", first=True, last=f"{path} body")
    before = _misses(both)
    orders = crowd(both.processes, path)
    until(lambda: all(now >= then + 9 for now, then in zip(_misses(both), before, strict=True)), "nearly all missed")
    assert len(both.runs(path)) == 1
    both.open(f"{path} head")
    until(lambda: len(both.runs(path)) == 20, "all others are in the app", within=15)
    both.app(path, ("Cache-Control", "no-store"), gate=f"{path} later")
    later = crowd(both.processes, path, 5)
    until(lambda: len(both.runs(path)) == 30, "those who come later are in, too", within=15)
    both.open(f"{path} later")
    both.open(f"{path} body")
    assert {each[0] for each in results(orders + later)} == {200}


def test_one_revalidation_behind(both: Site, path: str) -> None:
    """All clients of both processes get the stale response at once, and one request brings a new one."""
    both.app(path, *STALE, body="old")
    both.processes[0].get(path)
    both.app(path, FRESH, body="new", gate=path)
    for _ in range(2):
        got = results(crowd(both.processes, path))
        assert {each[4] for each in got} == {"old end"}
    until(lambda: len(both.runs(path)) == 2, "somebody revalidates")
    assert {each[4] for each in results(crowd(both.processes, path, 3))} == {"old end"}
    both.open(path)
    for process in both.processes:
        until(partial(_is_new, process, path), "the new response is there")
    assert len(both.runs(path)) == 2


@pytest.mark.parametrize("kinds", [["sync", "async"], ["async", "sync"]], ids=["WSGI dies", "ASGI dies"])
def test_a_fetcher_that_is_killed_is_replaced_once(kinds: list[str]) -> None:
    """Kill -9 of the process whose app runs: when its lease is over, one other request takes over for all."""
    with Standalone(oldest()) as server, Standalone(oldest()) as other, site(server, other, kinds, lease=1.2) as it:
        dying, heir = it.processes
        it.app("/", FRESH, gate="never", first=True)
        dying.begin("ask", "GET", "/")
        until(lambda: it.runs("/"), "the app runs")
        misses = heir.do("misses")
        orders = crowd([heir], "/")
        until(lambda: heir.do("misses") >= misses + 9, "the others wait")
        dying.kill()
        died = time.monotonic()
        got = results(orders)
        assert time.monotonic() - died < 6
        assert {tuple(each[3:]) for each in got} == {(5, "a end", " end")}
        assert it.runs("/") == [f"{dying.name} GET", f"{heir.name} GET"]


@pytest.mark.parametrize("kinds", [["sync", "async"], ["async", "sync"]], ids=["WSGI dies", "ASGI dies"])
def test_a_store_that_is_killed_midway(kinds: list[str]) -> None:
    """Kill -9 while the bytes are on their way leaves no page, and no key for ever; the other process stores anew."""
    size = 20_000_000  # more than all buffers of the system between the two
    options: dict[str, Any] = {"lease": 1.2, "max_body": 2 * size}
    with Standalone(oldest()) as server, Standalone(oldest()) as other, site(server, other, kinds, **options) as it:
        dying, heir = it.processes
        it.app("/", FRESH, times=size, last="body")
        order = dying.begin("ask", "GET", "/")
        until(lambda: it.runs("/"), "the app runs")
        until(lambda: any(":lease:" in key for key in tuple(it.keys())), "there is a lease")
        server.pause()
        it.open("body")
        until(lambda: _unsent(dying, server.port) > 0, "a part is sent, and the rest is not")
        dying.kill()
        server.resume()
        assert it.control.llen(f"done:{order}") == 0
        assert not [key for key in tuple(it.keys()) if ":cache:" in key]
        got = heir.get("/")
        assert (got[0], got[3], got[5]) == (200, size + 4, " end")
        assert ";hit" in heir.get("/")[1]
        assert all(left > 0 for left in it.keys().values())


def _unsent(process: Served, port: int) -> int:
    """Return how many bytes the system holds that a process has sent to a port and the other end has not taken."""
    table = Path(f"/proc/{process.process.pid}/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in table]
    return sum(int(row[4].split(":")[0], 16) for row in rows if int(row[2].split(":")[1], 16) == port)


DYING = """
import signal
sys.path.insert(0, sys.argv[2])
from holdfast import Layer
from support.colours import Colour
from support.http_shop import Made, Shop

layer = Layer(url, namespace="pages")

class Dying:
    def __init__(self, port):
        self.port = port
    def __getattr__(self, name):
        return getattr(self.port, name)
    async def call(self, command):
        if command.script != "fill":
            return await self.port.call(command)
        if sys.argv[3] == "1":
            await self.port.call(command)
        os.kill(os.getpid(), signal.SIGKILL)

async def respond(asked):
    return Made([("Cache-Control", "max-age=600")], [b"abc" * 40_000, b" end"])

layer.engine.blocking = Dying(layer.engine.blocking)
colour = Colour("sync")
colour.run(Shop(colour, layer, respond, {"lease": 1.2}).asking("/"))
"""


@pytest.mark.parametrize("sent", [0, 1], ids=["before it stores", "after it has stored"])
def test_a_store_that_is_killed(sent: int) -> None:
    """A long body and its page are stored together or not at all."""
    with Standalone(oldest()) as server, Standalone(oldest()) as other, site(server, other, ["async"]) as it:
        heir = it.processes[0]
        it.app("/", FRESH, body="abc", times=40_000)
        dying = begun(DYING, server.url, str(Path(__file__).parent.parent), str(sent))
        _, complaints = dying.communicate(timeout=60)
        assert dying.returncode == -signal.SIGKILL, complaints
        keys = it.keys()
        assert all(left > 0 for left in keys.values())
        assert len([key for key in keys if ":cache:" in key]) == 2 * sent
        got = heir.get("/")
        assert (got[3], got[5]) == (120_004, " end")
        assert (";hit" in got[1]) is bool(sent)
        assert ";hit" in heir.get("/")[1]

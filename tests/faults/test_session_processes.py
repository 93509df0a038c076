"""Processes that share sessions, under uvicorn and gunicorn: what one stores the other sees; a death harms nobody."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from support.ports import free_port
from support.process import Process
from support.programs import oldest
from support.standalone import Standalone
from support.waiting import until

TESTS = Path(__file__).parent.parent
SITE = "support.session_served"
SERVERS = {
    "uvicorn": ["uvicorn", f"{SITE}:asgi_site", "--port", "{port}", "--log-level", "warning"],
    "gunicorn": ["gunicorn", f"{SITE}:wsgi_site", "--bind", "127.0.0.1:{port}", "--threads", "8"],
}


@dataclass(slots=True)
class Served:
    """A web server that runs."""

    port: int
    process: Process

    def ask(self, path: str, browser: Browser, *, keep: bool = True) -> Any:
        """Send a request, let the browser take the cookie, and return what the app answers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers={"Cookie": browser.cookie} if browser.cookie else {})
            response = connection.getresponse()
            told = response.getheader("Set-Cookie")
            if told and keep:
                browser.cookie = "" if "Max-Age=0" in told else told.partition(";")[0]
            body = response.read()
            assert response.status == 200, body
            return json.loads(body)
        finally:
            connection.close()

    def kill(self) -> None:
        """End the server and its workers as ``kill -9`` does."""
        pid = self.process.pid
        workers = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        self.process.kill()
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


@dataclass(slots=True)
class Browser:
    """Keeps a cookie."""

    cookie: str = ""


@dataclass(slots=True)
class Shared:
    """Two servers over one Redis, and another Redis for the gates of the test."""

    redis: Standalone
    control: Standalone
    servers: list[Served] = field(default_factory=list[Served])

    def wait_for(self, gate: str) -> None:
        """Wait until a request is at a gate."""
        until(lambda: self.control.client.exists(f"at:{gate}"), f"a request is at {gate}")

    def check_expiry(self) -> None:
        """See that no key stays for ever."""
        client = self.redis.client
        left = {key: client.pttl(key) for key in client.scan_iter(count=1000)}
        assert left
        assert all(each > 0 for each in left.values()), left


@contextmanager
def shared(folder: Path) -> Iterator[Shared]:
    """Give both servers when they answer."""
    with ExitStack() as stack:
        redis, control = (stack.enter_context(Standalone(oldest())) for _ in range(2))
        both = Shared(redis, control)
        for name, words in SERVERS.items():
            program = Process(name, folder / name)
            port = free_port()
            settings = [
                f"HOLDFAST_TEST_URL={redis.url}",
                f"HOLDFAST_TEST_CONTROL={control.url}",
                f"PYTHONPATH={TESTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            ]
            program.start(["env", *settings, sys.executable, "-m", *(word.format(port=port) for word in words)])
            both.servers.append(Served(port, program))
            stack.callback(program.terminate)
        for server in both.servers:
            until(lambda server=server: _is_up(server), "a server answers or ends")  # type: ignore[misc]
            assert server.process.running, server.process.written()
        yield both


def _is_up(server: Served) -> bool:
    try:
        return bool(server.ask("/up", Browser()) == "up")
    except (OSError, HTTPException):
        return not server.process.running


def test_sessions_are_shared(tmp_path: Path) -> None:
    """What one process stores, counts, rotates and ends, the other knows at once."""
    with shared(tmp_path) as both:
        one, two = both.servers
        browser = Browser()
        for number in range(6):
            assert both.servers[number % 2].ask(f"/count/{number}", browser) == number + 1
        old = Browser(browser.cookie)
        one.ask("/login/alice", browser)
        assert browser.cookie != old.cookie
        assert two.ask("/", browser)["count"] == 6
        assert two.ask("/", old) == {}
        kept = Browser(browser.cookie)
        two.ask("/logout", browser)
        assert browser.cookie == ""
        assert one.ask("/", kept) == {}
        with ThreadPoolExecutor(8) as pool:
            one.ask("/count/first", browser)
            counts = list(pool.map(lambda n: both.servers[n % 2].ask(f"/count/{n}", browser), range(40)))
        assert len(counts) == 40
        found = two.ask("/", browser)
        assert (found["count"], len(found["basket"])) == (41, 41)
        both.check_expiry()


@pytest.mark.parametrize("dying", [0, 1], ids=["uvicorn dies", "gunicorn dies"])
def test_a_process_is_killed(tmp_path: Path, dying: int) -> None:
    """Kill -9 loses what was not promised, and nothing that was: not the session, nor what others have written."""
    with shared(tmp_path) as both:
        doomed, heir = both.servers[dying], both.servers[1 - dying]
        browser = Browser()
        doomed.ask("/count/before", browser)
        with ThreadPoolExecutor(10) as pool:
            hanging = pool.submit(doomed.ask, "/hang/a", browser, keep=False)
            streaming = pool.submit(doomed.ask, "/stream/b", browser, keep=False)
            both.wait_for("hang/a")
            both.wait_for("stream/b")
            assert heir.ask("/count/meanwhile", browser) == 2
            promised: list[int] = []

            def count(number: int) -> None:
                try:
                    both.servers[number % 2].ask(f"/count/{number}", browser, keep=False)
                except (OSError, HTTPException):
                    return
                promised.append(number)

            work = [pool.submit(count, number) for number in range(60)]
            until(lambda: len(promised) >= 10, "some have been answered")
            doomed.kill()
            for each in work:
                each.result(60)
            for broken in (hanging, streaming):
                assert isinstance(broken.exception(60), OSError | HTTPException | json.JSONDecodeError)
        found = heir.ask("/", browser)
        assert "hang" not in found, "nobody was told that it is stored"
        assert found["stream"] == "b", "the answer had begun"
        assert {str(number) for number in promised} <= found["basket"].keys()
        assert len(found["basket"]) == found["count"] >= len(promised) + 2
        assert heir.ask("/count/after", browser) == found["count"] + 1
        both.check_expiry()
        heir.ask("/logout", browser)
        assert not list(both.redis.client.scan_iter(match="served:session:*", count=1000))

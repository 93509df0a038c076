"""Clients that leave midway: whoever leaves gets whole responses of their own URL, and nothing leaves behind."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

import pytest

from holdfast import Layer, asgi, wsgi
from support.http_shop import HOST, at_rest, environ_of, leases, scope_of
from support.topologies import Servers
from support.waiting import until

PATHS: Final = [f"/{number}" for number in range(12)]
CLIENTS: Final = 2500
"""In each of the four tests: ten thousand in all."""


class Source:
    """What an app answers under each path: fields, pieces, and whether it fails; all that was ever whole is noted."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.versions: dict[str, int] = defaultdict(int)
        self.known: dict[str, int] = defaultdict(int)
        """The versions that somebody knows of, since a request that made them has been answered."""
        self.whole: dict[str, set[bytes]] = defaultdict(set)
        self._lock = threading.Lock()

    def change(self, path: str) -> None:
        """Give a path a new state."""
        with self._lock:
            self.versions[path] += 1

    def make(self, path: str) -> tuple[list[tuple[str, str]], list[bytes]]:
        """Return the fields and the pieces of a response."""
        with self._lock:
            number, version = int(path[1:]), self.versions[path]
            run = self.random.random()
            head = f"{path} {version} {run} ".encode()
            size = 40_000 if number % 4 == 1 else 30
            pieces = [head, b"x" * size, b"y" * size, b" end"][: 1 if number % 4 == 0 else 4]
            if number % 4 == 0:
                pieces[0] += b"end"
            self.whole[path].add(b"".join(pieces))
        fields = [("Cache-Control", _says(number)), ("Cache-Tag", f"t{number}"), ("ETag", f'"{version}"')]
        if number % 2:
            fields.append(("Content-Length", str(sum(map(len, pieces)))))
        return fields, pieces

    def note(self, path: str, before: int) -> None:
        """Note that a change was answered, which came after a version."""
        with self._lock:
            self.known[path] = max(self.known[path], before + 1)

    def is_whole(self, path: str, body: bytes, least: int) -> bool:
        """Say whether a body is one that was made for a path, not before a version."""
        return body in self.whole[path] and int(body.split()[1]) >= least


def _says(number: int) -> str:
    return ["max-age=60", "max-age=60", "max-age=0, stale-while-revalidate=60", "no-store"][number // 3]


class Left(Exception):  # noqa: N818 - says what happened
    """Somebody has left."""


class AsgiClients:
    """Clients of an ASGI app, each of whom may be cancelled, or find the connection broken."""

    def __init__(self, layer: Layer, seed: int) -> None:
        self.source = Source(seed)
        self.random = random.Random(seed + 1)
        self.layer = layer
        self.app = asgi.CacheMiddleware(self._answer, layer=layer, wait="1s", lease="10m")
        self.complete = 0

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if scope["method"] == "POST":
            self.source.change(path)
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        fields, pieces = self.source.make(path)
        await asyncio.sleep(0)
        if self.random.random() < 0.02:
            raise Left
        raw = [(name.lower().encode(), value.encode()) for name, value in fields]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        for place, piece in enumerate(pieces):
            if self.random.random() < 0.3:
                await asyncio.sleep(0)
            if self.random.random() < 0.01 or (await self._has_left(receive)):
                raise Left
            await send({"type": "http.response.body", "body": piece, "more_body": place + 1 < len(pieces)})

    async def _has_left(self, receive: Any) -> bool:
        """Say whether the client has left, as apps do that look at it now and then and do not wait for it."""
        if self.random.random() < 0.9:
            return False
        listening = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        if listening.done():
            return bool(listening.result()["type"] == "http.disconnect")
        listening.cancel()
        return False

    async def come(self) -> None:
        """Be one client, who may leave at any moment, and check what it got if it stayed."""
        path, method = self.random.choice(PATHS), "POST" if self.random.random() < 0.02 else "GET"
        least, before = self.source.known[path], self.source.versions[path]
        body, is_over, breaks_after = b"", False, self.random.choice([0, 1, 2, 3, 99, 99, 99, 99])
        leaves = asyncio.Event()
        if self.random.random() < 0.2:
            leaves.set()

        async def receive() -> Any:
            await leaves.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal body, is_over, breaks_after
            breaks_after -= 1
            if breaks_after < 0:
                raise OSError
            if self.random.random() < 0.2:
                await asyncio.sleep(0)
            if message["type"] == "http.response.body":
                body += message.get("body", b"")
                is_over = not message.get("more_body", False)

        with suppress(Left, OSError):
            await self.app(scope_of(path, [("Host", HOST)], method), receive, send)
        if is_over and method == "POST":
            self.source.note(path, before)
        elif is_over:
            self.complete += 1
            assert self.source.is_whole(path, body, least if _is_current(path) else 0), (path, least, body[:50])


def _is_current(path: str) -> bool:
    """Say whether a response under a path is never served stale."""
    return int(path[1:]) // 3 != 2


@pytest.mark.parametrize("seed", [1, 2])
def test_asgi_clients_that_leave(namespace: str, servers: Servers, seed: int) -> None:
    """Cancelled at any step, told that the client is gone, or cut off while they send, forty at a time."""

    async def scenario() -> None:
        async with Layer(servers.standalone().url, namespace=namespace) as layer:
            clients = AsgiClients(layer, seed)
            left = CLIENTS

            async def lane() -> None:
                nonlocal left
                while left > 0:
                    left -= 1
                    task = asyncio.ensure_future(clients.come())
                    if clients.random.random() < 0.3:
                        for _ in range(int(clients.random.expovariate(0.1))):
                            await asyncio.sleep(0)
                        task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task

            await asyncio.gather(*[lane() for _ in range(40)])
            assert clients.complete > CLIENTS / 4
            await _settled(layer)
            assert layer.stats().hits > 100

    asyncio.run(scenario())
    _left_nothing(servers, namespace)


async def _settled(layer: Layer) -> None:
    async with asyncio.timeout(30):
        while leases(layer, *PATHS) or not at_rest(layer):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


def _left_nothing(servers: Servers, namespace: str) -> None:
    client = servers.standalone().client
    keys = list(client.scan_iter(match=f"{namespace}*", count=10_000))
    assert keys
    assert all(client.pttl(key) > 0 for key in keys)


class WsgiClients:
    """Clients of a WSGI app, whose servers close the body before its end, or fail to write."""

    def __init__(self, layer: Layer, seed: int) -> None:
        self.source = Source(seed)
        self.random = random.Random(seed + 1)
        self.app = wsgi.CacheMiddleware(self._answer, layer=layer, wait="1s", lease="10m")
        self.complete = 0
        self.open = 0
        """Bodies of the app that are not closed yet."""

    def _answer(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] == "POST":
            self.source.change(path)
            start_response("204 No Content", [])
            return []
        fields, pieces = self.source.make(path)
        if self.random.random() < 0.02:
            raise Left
        shape = self.random.randrange(4)
        if shape == 3:
            write = start_response("200 OK", fields)
            write(pieces.pop(0))
            return pieces
        if shape == 0:
            start_response("200 OK", fields)
            return pieces
        if shape == 1:
            start_response("200 OK", fields)
        return _Pieces(self, pieces, start_response if shape == 2 else None, fields)

    def come(self, _: int) -> None:
        """Be one client, who may leave after any piece, and check what it got if it stayed."""
        path, method = self.random.choice(PATHS), "POST" if self.random.random() < 0.02 else "GET"
        least, before = self.source.known[path], self.source.versions[path]
        takes = self.random.choice([0, 1, 2, 99, 99, 99])
        written: list[bytes] = []

        def write(data: bytes) -> None:
            if takes == 0:
                raise OSError
            written.append(data)

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
            return write

        try:
            body = self.app(environ_of(path, [("Host", HOST)], method), start_response)
        except (Left, OSError):
            return
        is_over = False
        try:
            for piece in body:
                takes -= 1
                if takes < 0:
                    break
                written.append(piece)
            else:
                is_over = True
        except Left:
            pass
        finally:
            getattr(body, "close", lambda: None)()
        if is_over and method == "POST":
            self.source.note(path, before)
        elif is_over:
            self.complete += 1
            whole = b"".join(written)
            assert self.source.is_whole(path, whole, least if _is_current(path) else 0), (path, least, whole[:50])


class _Pieces:
    """A body that may begin its response late, may fail, and must be closed."""

    def __init__(self, clients: WsgiClients, pieces: list[bytes], start: Any, fields: Any) -> None:
        self._clients = clients
        self._pieces = pieces
        self._start = start
        self._fields = fields
        clients.open += 1

    def __iter__(self) -> _Pieces:
        return self

    def __next__(self) -> bytes:
        if self._start is not None:
            self._start("200 OK", self._fields)
            self._start = None
        if not self._pieces:
            raise StopIteration
        if self._clients.random.random() < 0.01:
            raise Left
        return self._pieces.pop(0)

    def close(self) -> None:
        self._clients.open -= 1


@pytest.mark.parametrize("seed", [3, 4])
def test_wsgi_clients_that_leave(namespace: str, servers: Servers, seed: int) -> None:
    """The body closed after any piece, or a write that fails, in eight threads."""
    with Layer(servers.standalone().url, namespace=namespace) as layer:
        clients = WsgiClients(layer, seed)
        with ThreadPoolExecutor(8) as pool:
            for _ in pool.map(clients.come, range(CLIENTS)):
                pass
        assert clients.complete > CLIENTS / 4
        until(lambda: at_rest(layer) and not leases(layer, *PATHS), "nothing is left")
        assert layer.stats().hits > 100
        assert clients.open == 0
    _left_nothing(servers, namespace)

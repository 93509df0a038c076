"""A TCP proxy that misbehaves on command, so that tests force what elsewhere happens by bad luck.

It runs on a thread of its own and is controlled with plain calls from any other. What it is told holds for all its
connections, those that are open and those to come. Requests are bytes from client to server, up; replies are bytes
from server to client, down.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Self

from support.link import Counters, Link, Orders
from support.ports import free_port
from support.waiting import PATIENCE

_HOST = "127.0.0.1"


class Proxy:
    """A proxy in front of one server. Use it as a context manager.

    Args:
        target: host and port of the server. It may be down; a client is then accepted and reset at once.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.port = free_port()
        self._orders = Orders()
        self._change = threading.Condition()
        self._counters = Counters(changed=self._tell)
        self._links: set[Link] = set()
        self._greetings: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {self.port}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.accept()
        return self

    def __exit__(self, *_: object) -> None:
        self._on_loop(self._finish)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> tuple[str, int]:
        """Return the host and port at which it listens."""
        return _HOST, self.port

    @property
    def url(self) -> str:
        """Return the URL of database 0 behind it."""
        return f"redis://{_HOST}:{self.port}/0"

    @property
    def opened(self) -> int:
        """Return how many connections clients have opened so far."""
        return self._counters.opened

    @property
    def open_now(self) -> int:
        """Return how many connections clients have open."""
        return self._counters.open_now

    @property
    def bytes_up(self) -> int:
        """Return how many bytes of requests were passed on."""
        return self._counters.bytes_up

    @property
    def bytes_down(self) -> int:
        """Return how many bytes of replies were delivered."""
        return self._counters.bytes_down

    @property
    def held_up(self) -> int:
        """Return how many bytes of requests wait here: their clients have sent them, the server has not seen them."""
        return self._counters.held_up

    @property
    def held_down(self) -> int:
        """Return how many bytes of replies wait here: the server has done its work, the clients do not know it."""
        return self._counters.held_down

    @property
    def swallowed(self) -> int:
        """Return how many bytes fell into the black hole."""
        return self._counters.swallowed

    def delay(self, seconds: float) -> None:
        """Deliver replies that arrive from now on so much later; 0 ends it. Requests are not delayed."""
        self._order(delay=seconds)

    def hold_requests(self) -> None:
        """Keep requests here until `release`."""
        self._order(hold_requests=True)

    def hold_replies(self) -> None:
        """Keep replies here until `release`; requests still reach the server."""
        self._order(hold_replies=True)

    def release(self) -> None:
        """Pass on what is held, in order, and hold nothing more."""
        self._order(hold_requests=False, hold_replies=False)

    def black_hole(self) -> None:
        """Accept connections and drop all bytes, both ways, until `restore`."""
        self._order(black=True)

    def cut_after(self, size: int, *, reset: bool = True) -> None:
        """Deliver so many more bytes of replies, then cut the connection that got the last of them. Once.

        With 0 the next reply is lost as a whole: the command was executed, and its client is cut off.

        Args:
            size: bytes to deliver, of whichever connections.
            reset: end with a TCP reset; if not, close in good order.
        """
        self._order(cut=size, cut_resets=reset)

    def cut_all(self, *, reset: bool = True) -> None:
        """Cut every open connection now."""
        self._on_loop(lambda: self._cut(lambda _: True, reset=reset))

    def refuse(self) -> None:
        """Stop listening: who connects is refused. Open connections stay."""
        self._on_loop(self._stop_listening)

    def accept(self) -> None:
        """Listen again."""
        self._on_loop(self._listen)

    def restore(self) -> None:
        """Take back all orders. Connections that lost bytes to the black hole are cut, the others go on."""
        self._on_loop(lambda: self._cut(lambda link: link.tainted, reset=True))
        self._order(delay=0.0, hold_requests=False, hold_replies=False, black=False, cut=None)
        self.accept()

    def wait_for(self, check: Callable[[Proxy], object], *, within: float = PATIENCE) -> None:
        """Block until a check on this proxy holds; it is looked at after each change, and must only read.

        It blocks its thread. On an event loop, await a check by polling instead, so that the loop goes on.

        Raises:
            TimeoutError: it does not hold after `within` seconds.
        """
        with self._change:
            if not self._change.wait_for(lambda: check(self), within):
                msg = f"waited {within:.0f} s in vain; the proxy has seen {self._counters}"
                raise TimeoutError(msg)

    def _tell(self) -> None:
        with self._change:
            self._change.notify_all()

    def _order(self, **orders: object) -> None:
        async def obey() -> None:
            for name, value in orders.items():
                setattr(self._orders, name, value)
            for link in tuple(self._links):
                link.flush()

        self._on_loop(obey)

    def _on_loop(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            self._links = {link for link in self._links if not link.is_over}
            await work()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(PATIENCE)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await self._loop.create_server(self._welcome, _HOST, self.port)

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _welcome(self) -> asyncio.Protocol:
        link = Link(self._orders, self._counters)
        self._links.add(link)
        self._counters.opened += 1
        self._counters.open_now += 1
        greeting = self._loop.create_task(self._connect(link))
        self._greetings.add(greeting)
        greeting.add_done_callback(self._greetings.discard)
        return link.client

    async def _connect(self, link: Link) -> None:
        try:
            await self._loop.create_connection(lambda: link.server, *self.target)
        except OSError:
            link.cut(reset=True)
        link.flush()

    async def _cut(self, chosen: Callable[[Link], bool], *, reset: bool) -> None:
        for link in self._links:
            if chosen(link):
                link.cut(reset=reset)

    async def _finish(self) -> None:
        await self._stop_listening()
        for greeting in self._greetings:
            greeting.cancel()
        await asyncio.gather(*self._greetings, return_exceptions=True)
        await self._cut(lambda _: True, reset=True)
        while not all(link.is_over for link in self._links):  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0)

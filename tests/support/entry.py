"""One cache entry on a real backend, for the tests of the scripts: its keys, its frames, and what is published of it.

After every call all keys are looked at: none may be without a time to live.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from holdfast import commands
from holdfast.backend.embedded import open_client
from holdfast.commands import Command, Reply
from holdfast.policy.frame import Frame, pack, unpack
from holdfast.scripts import cache as scripts
from support.backends import Opened, opened
from support.colours import Colour
from support.topologies import Topology

FRESH_UNTIL: Final = 2_000_000_000.0
_END: Final = b"end"
_numbers = count(1)


def nonce() -> str:
    """Return sixteen characters that were not returned before."""
    return f"{next(_numbers):016x}"


def frame(token: str, payload: bytes = b"one") -> bytes:
    """Return what a fill under `token` stores."""
    return pack(
        Frame(token, FRESH_UNTIL, 0.0, 1.0, 0.5, "raw", "", len(payload), (), False, False, payload),
        "any key",
    )


def parsed(raw: bytes) -> Frame:
    """Return the frame in some bytes."""
    return unpack(raw, "any key")


@dataclass(slots=True)
class Entry:
    """The keys of one entry and one tag, and the port to reach them."""

    opened: Opened
    value: str
    lease: str
    tag: str
    channel: str
    _news: Any

    async def call(self, command: Command) -> Reply:
        """Send a command, and see that it left no key without a time to live."""
        reply = await self.opened.port.call(command)
        keys = {self.value, self.lease, self.tag, *command.keys}
        times = await self.opened.port.pipeline([commands.pttl(key) for key in keys])
        assert -1 not in times, f"{command.name} left a key for ever: {dict(zip(keys, times, strict=True))}"
        return reply

    async def get(self, key: str) -> bytes | None:
        """Return what is stored."""
        found: bytes | None = await self.opened.port.call(commands.get(key))
        return found

    async def lasts(self, key: str) -> float:
        """Return the seconds that a key has left, -0.002 if there is none."""
        left: int = await self.opened.port.call(commands.pttl(key))
        return left / 1000

    async def lose(self, *keys: str) -> None:
        """Remove keys as an expiry does: without a word to anybody."""
        for key in keys:
            await self.opened.port.call(commands.unlink([key]))

    async def granted(self, seconds: float = 30) -> str:
        """Acquire the lease, which is free, and return its token."""
        granted, token = await self.call(scripts.acquire(self.lease, self.value, nonce=nonce(), seconds=seconds))
        assert granted == 1
        return str(token, "ascii")

    async def filled(self, payload: bytes = b"one") -> str:
        """Store a value as a load does, and return its token."""
        token = await self.granted()
        assert await self.call(self.fill(token, payload)) == 1
        return token

    def fill(self, token: str, payload: bytes = b"one", seconds: float = 60) -> Command:
        """Return the fill of this entry."""
        return scripts.fill(
            self.value, self.lease, token=token, frame=frame(token, payload), seconds=seconds, channel=self.channel
        )

    async def heard(self) -> list[bytes]:
        """Return what was published since the last call."""
        # The end is published where the scripts publish, so that on a cluster too it comes last.
        await self.opened.port.call(Command(("PUBLISH", self.channel, _END), (self.value,)))
        messages: list[bytes] = []
        while True:
            message = self._news.get_message(timeout=10)
            assert message, "no message came"
            if message["data"] == _END:
                return messages
            messages.append(message["data"])


@asynccontextmanager
async def an_entry(colour: Colour, topology: Topology, namespace: str) -> AsyncIterator[Entry]:
    """Give an entry that does not exist yet; at the end no key of the namespace may be without a time to live."""
    channel = f"{namespace}:news:{{n}}"
    client = open_client(topology.url.partition("//")[2]) if topology.is_memory else topology.nodes[0].client
    news = client.pubsub()
    try:
        news.subscribe(channel)
        assert news.get_message(timeout=10)["type"] == "subscribe"
        async with opened(colour, topology.url) as it:
            yield Entry(
                it, f"{namespace}:cache:{{n}}", f"{namespace}:lease:{{n}}", f"{namespace}:tag:{{n}}", channel, news
            )
        if not topology.is_memory:
            assert -1 not in topology.ttls(namespace).values()
    finally:
        news.close()

"""One key that a plain and an async function share, for tests that mix threads, tasks and loops."""

from __future__ import annotations

import threading

from holdfast import Layer
from support.flights import reached


class SharedSource:
    """Loads of one key in both colours, which wait until they are let go."""

    def __init__(self, layer: Layer, key: str = "shared:{number}") -> None:
        self.let_go = threading.Event()
        self.loads = 0

        @layer.cached(60, key=key)
        def plain(number: int) -> list[int]:
            self.loads += 1
            assert self.let_go.wait(30)
            return [number]

        @layer.cached(60, key=key)
        async def awaited(number: int) -> list[int]:
            self.loads += 1
            await reached(self.let_go.is_set)
            return [number]

        self.plain, self.awaited = plain, awaited

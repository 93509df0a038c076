"""Event loops that are closed while their tasks still have work to do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from holdfast import Layer, entries
from support.calls import teach
from support.flights import joined, reached
from support.proxy import Proxy


def abandon(begin: Callable[[], Coroutine[Any, Any, Any]], check: Callable[[], object]) -> None:
    """Start something on a loop, and close the loop under it as soon as `check` is true."""

    def run() -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)  # it complains of the task that is left behind
        task = loop.create_task(begin())
        loop.run_until_complete(reached(check))
        loop.close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine .* was never awaited")
def test_a_load_whose_loop_was_closed_is_forgotten(namespace: str) -> None:
    """The next call takes its lease over, loads and stores; it does not wait for what nobody will bring."""
    with Layer(namespace=namespace) as layer:
        stuck: list[int] = []

        @layer.cached(60, key="answer")
        async def answer() -> int:
            stuck.append(1)
            if len(stuck) == 1:
                await asyncio.Event().wait()
            return 42

        @layer.cached(60, key="answer", wait="20s")
        def plain_answer() -> int:
            return 42

        abandon(answer, lambda: stuck)
        assert joined(layer) == 1
        assert plain_answer() == 42
        assert entries(plain_answer).get() == 42
        assert joined(layer) == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine .* was never awaited")
def test_a_fill_whose_loop_was_closed_is_forgotten(namespace: str, servers: Any) -> None:
    """A change of its key does not wait for it, and the next call loads and stores."""
    teach([servers.standalone()])  # or the reply that is held would say that the script is unknown
    with Proxy(servers.standalone().address) as proxy, Layer(proxy.url, namespace=namespace) as layer:

        @layer.cached(60, key="answer")
        async def answer() -> int:
            proxy.hold_replies()
            return 42

        @layer.cached(60, key="answer", wait="20s")
        def plain_answer() -> int:
            return 43

        abandon(answer, lambda: proxy.held_down)
        proxy.restore()
        assert entries(plain_answer).invalidate()
        assert plain_answer() == 43
        assert entries(plain_answer).get() == 43
        assert joined(layer) == 0

"""A fork while a load runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from holdfast import Layer, entries
from support.both import SharedSource
from support.waiting import until


@contextmanager
def forked(child: Callable[[], bool]) -> Any:
    """Run `child` in a child process during the block; its exit code says whether it returned true."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if child() else 2
        finally:
            os._exit(code)
    yield
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_process_does_not_wait_for_a_load_of_its_parent(layer: Layer, threads: ThreadPoolExecutor) -> None:
    """A fork while a load runs in another thread: the child loads by itself, and the parent's load goes on."""
    source = SharedSource(layer)
    waiting = threads.submit(source.plain, 1)
    until(lambda: source.loads == 1, "the load runs")

    def child() -> bool:
        source.let_go = threading.Event()
        source.let_go.set()
        return source.plain(1) == [1] and source.loads == 2 and entries(source.plain).invalidate(1)

    with forked(child):
        pass
    source.let_go.set()
    assert waiting.result(30) == [1]
    assert source.loads == 1

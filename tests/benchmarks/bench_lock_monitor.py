"""How many commands clients send: counted with MONITOR, so that what scripts do inside the server is left out.

The lines are read only when they are counted. Until then the server keeps them, and nobody competes with the subjects
for the processor to read them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final

_INSIDE: Final = b" lua] "
_numbers = count()


@contextmanager
def monitoring(port: int) -> Iterator[Callable[[], int]]:
    """Give what counts the commands that came since the start, or since they were counted last."""
    with _connect(port) as monitor, _connect(port) as other:
        lines = monitor.makefile("rb")
        monitor.sendall(b"MONITOR\r\n")
        lines.readline()

        def tally() -> int:
            mark = f"counted-{next(_numbers)}".encode()
            other.sendall(b"ECHO " + mark + b"\r\n")
            return count_sent(iter(lines.readline, b""), mark)

        tally()
        yield tally


def count_sent(lines: Iterator[bytes], mark: bytes) -> int:
    """Return how many lines before the one with the mark tell of a command that a client sent."""
    sent = 0
    for line in lines:
        if mark in line:
            return sent
        sent += _INSIDE not in line
    msg = "the server closed the connection of MONITOR"
    raise ConnectionError(msg)


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 30)

"""Letting go of an asyncio connection whose loop cannot run any more: it was closed, or belongs to a parent process.

Such a transport can neither be closed nor aborted, since both need the loop, and its finalizer would complain. In a
child process it must not touch the selector either, which the parent still uses. So only the socket is closed, here.
"""

from __future__ import annotations

import contextlib
from typing import Any

from holdfast.backend.multiplex import Multiplex

_kept: list[object] = []
"""What must never be finalized, since its finalizer would touch a loop that is not ours any more."""


def abandon(connection: Multiplex) -> None:
    """Close the connection's socket and nothing else. Callers that still wait in that loop will never be answered."""
    forsaken: tuple[Any, object] = connection.forsake()
    transport = forsaken[0]
    inner = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    if inner is not None:
        transport._closed = True  # noqa: SLF001 - read by its finalizer only
        transport = inner
    sock = getattr(transport, "_sock", None)
    if sock is None:
        # uvloop closes the sockets of a loop itself, and their numbers may already belong to others.
        _kept.append(forsaken)
        return
    with contextlib.suppress(OSError):
        sock.close()
    transport._sock = None  # noqa: SLF001 - read by its finalizer only
    transport._closing = True  # noqa: SLF001 - read by the finalizer of the stream writer


def keep(thing: object) -> None:
    """See to it that something of a parent process is never finalized here."""
    _kept.append(thing)

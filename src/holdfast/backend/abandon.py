"""Letting go of an asyncio connection whose loop cannot run any more: it was closed, or belongs to a parent process.

Such a transport can neither be closed nor aborted, since both need the loop, and its finalizer would complain. In a
child process it must not touch the selector either, which the parent still uses. So only the socket is closed, here.
"""

from __future__ import annotations

import contextlib
from typing import Any

from holdfast.backend.multiplex import Multiplex

_kept: list[object] = []
"""Transports that could not be quieted; kept, so that their finalizers do not run."""


def abandon(connection: Multiplex) -> None:
    """Close the connection's socket and nothing else. Callers that still wait in that loop will never be answered."""
    forsaken: tuple[Any, object] = connection.forsake()
    transport = forsaken[0]
    wrapper = transport.get_extra_info("socket")
    real = getattr(wrapper, "_sock", wrapper)
    if real is not None:
        with contextlib.suppress(OSError):
            real.close()
    if not _quiet(transport):
        _kept.append(forsaken)


def _quiet(transport: Any) -> bool:
    """Tell asyncio's own transports, plain or TLS, that they are closed; say whether that worked."""
    protocol = getattr(transport, "_ssl_protocol", None)
    inner = getattr(protocol, "_transport", None)
    if inner is not None:
        transport._closed = True  # noqa: SLF001 - read by its finalizer only
        transport = inner
    if not hasattr(transport, "_sock"):
        return False
    transport._sock = None  # noqa: SLF001 - read by its finalizer only
    transport._closing = True  # noqa: SLF001 - read by the finalizer of the stream writer
    return True

"""Work that a caller waits for, and that goes on to its end when the caller is cancelled."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from holdfast.port import Port, promise

T = TypeVar("T")


async def apart(port: Port, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run work apart from the caller, wait for it, and return what it brings or raise what it raises.

    A loop that ends cancels it as it does all tasks; what must be done even then is done in the caller's own.
    """
    brought = promise()

    async def bring() -> None:
        try:
            brought.set_result(await work())
        except Exception as error:
            brought.set_exception(error)

    port.start(bring(), brought.cancel)
    found: T = await port.wait(brought, None)
    return found

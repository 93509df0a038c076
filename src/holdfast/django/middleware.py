"""What the middleware of holdfast have in common in Django: they serve blocking and async projects alike."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction


class TwoColoured:
    """A middleware that awaits the rest of the project where that is async, and calls it where it is not.

    Args:
        get_response: the rest of the project, as Django hands it over.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        # asgiref's, since before Python 3.12 there is no other that knows its mark.
        self.is_async = bool(iscoroutinefunction(get_response))  # pyright: ignore[reportDeprecated]
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Answer a request, or return what is to be awaited for the answer."""
        return self.arespond(request) if self.is_async else self.respond(request)

    def respond(self, request: Any) -> Any:
        """Answer a request."""
        return self.get_response(request)

    async def arespond(self, request: Any) -> Any:
        """Answer a request of an event loop."""
        return await self.get_response(request)

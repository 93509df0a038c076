"""Answers of holdfast as responses of Django, and the end of a response, at which something is given back."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpResponse

from holdfast import _forgotten
from holdfast.policy.http.answering import Answer
from holdfast.policy.http.fields import Pairs


def response_of(answer: Answer) -> HttpResponse:
    """Return an answer as Django sends it."""
    response = HttpResponse(answer.body, status=answer.status)
    del response["Content-Type"]
    for name, value in (*answer.fields, *answer.more):
        response[name] = f"{response[name]}, {value}" if name in response else value
    return response


def pairs_of(response: Any) -> Pairs:
    """Return the fields of a response, but for its cookies."""
    return tuple((str(name), str(value)) for name, value in response.items())


class Ending:
    """What is to be done once, when a response is complete or nobody wants it any more.

    Args:
        finish: does it, given the bytes of the body that went out; None if the response was not complete.
    """

    def __init__(self, finish: Callable[[int | None], None]) -> None:
        self._finish: Callable[[int | None], None] | None = finish
        self.size = 0

    @property
    def is_over(self) -> bool:
        """Whether it is done, or being done."""
        return self._finish is None

    def end(self, *, complete: bool) -> None:
        """Do it, unless it is done."""
        finish, self._finish = self._finish, None
        if finish is not None:
            finish(self.size if complete else None)


class AsyncEnding:
    """The same for a response that an event loop serves; Django closes such a one from a thread."""

    def __init__(
        self, finish: Callable[[int | None], Coroutine[Any, Any, None]], later: Callable[[Any], object]
    ) -> None:
        self._finish: Callable[[int | None], Coroutine[Any, Any, None]] | None = finish
        self._later = later
        self.size = 0

    @property
    def is_over(self) -> bool:
        """Whether it is done, or being done."""
        return self._finish is None

    async def aend(self, *, complete: bool) -> None:
        """Do it, unless it is done."""
        finish, self._finish = self._finish, None
        if finish is not None:
            await finish(self.size if complete else None)

    def end(self, *, complete: bool) -> None:
        """Do it from code that cannot await."""
        finish, self._finish = self._finish, None
        if finish is None:
            return
        size = self.size if complete else None

        async def run() -> None:  # `finish` may be a plain function that makes a coroutine: asgiref wants an async one
            await finish(size)

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            async_to_sync(run)()
        else:
            self._later(run)


class HeldStream:
    """The pieces of a response, which holds something until its end."""

    def __init__(self, pieces: Iterator[bytes], ending: Ending | AsyncEnding) -> None:
        self._pieces = pieces
        self._ending = ending

    def __iter__(self) -> HeldStream:
        return self

    def __next__(self) -> bytes:
        try:
            piece = next(self._pieces)
        except StopIteration:
            self._ending.end(complete=True)
            raise
        except BaseException:
            self._ending.end(complete=False)
            raise
        self._ending.size += len(piece)
        return piece

    def close(self) -> None:
        """End it where it is: Django calls this when it has sent the response, or when the client has left."""
        self._ending.end(complete=True)

    def __del__(self) -> None:
        """Have what nobody has closed ended."""
        _leave(self._ending)


class HeldAsyncStream:
    """The pieces of a response of an async iterator, which holds something until its end."""

    def __init__(self, pieces: AsyncIterator[bytes], ending: AsyncEnding) -> None:
        self._pieces = pieces
        self._ending = ending

    def __aiter__(self) -> HeldAsyncStream:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            await self._ending.aend(complete=True)
            raise
        except BaseException:
            await self._ending.aend(complete=False)
            raise
        self._ending.size += len(piece)
        return piece

    def close(self) -> None:
        """End it where it is: Django calls this when it has sent the response, or when the client has left."""
        self._ending.end(complete=True)

    def __del__(self) -> None:
        """Have what nobody has closed ended."""
        _leave(self._ending)


def _leave(ending: Ending | AsyncEnding) -> None:
    """Have an ending done by another thread: a destructor may be called inside of any lock of its own thread."""
    if not ending.is_over:
        _forgotten.leave(partial(ending.end, complete=True))


def hold(response: Any, ending: Ending | AsyncEnding) -> None:
    """Let a streamed response end what it holds with its last piece, or when it is closed."""
    _forgotten.expect()
    if not response.is_async:
        response.streaming_content = HeldStream(iter(response.streaming_content), ending)
    elif isinstance(ending, AsyncEnding):
        response.streaming_content = HeldAsyncStream(aiter(response.streaming_content), ending)
    else:  # a server without a loop: Django collects the pieces before it sends the first
        response._resource_closers.append(lambda: ending.end(complete=True))  # noqa: SLF001 - nothing else tells of the end

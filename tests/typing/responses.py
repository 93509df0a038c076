"""What type checkers must see of `cache_response`. Checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from datetime import timedelta
from typing import Any, assert_type

from starlette.requests import Request
from starlette.responses import Response

from holdfast import cache_response, cached, rate_limited


@cache_response("5m", shared=timedelta(hours=1), vary=["Accept"], tags=["product:{product_id}"], etag=True)
def show(product_id: int, lang: str = "en") -> dict[str, int]:
    """A plain view."""
    return {lang: product_id}


@cache_response(60, private=True, stale_while_revalidate="1m", stale_if_error=5.5)
async def endpoint(request: Request) -> Response:
    """An async endpoint."""
    return Response(request.url.path)


@rate_limited("1/minute")
@cache_response(no_store=True)
@cached(60)
async def stacked(number: int) -> str:
    """A view among other decorators."""
    return str(number)


@cache_response("1s")
async def lines(count: int) -> AsyncIterator[str]:
    """An endpoint that yields."""
    yield str(count)


class Shop:
    """Views that are methods."""

    @cache_response(60)
    def method(self, number: int) -> str:
        return str(number)

    @cache_response(60)
    @classmethod
    async def of_class(cls, number: int) -> str:
        return str(number)


def plain() -> None:
    """Check blocking uses."""
    assert_type(show(1, lang="de"), dict[str, int])
    assert_type(Shop().method(1), str)
    assert_type(lines(1), AsyncIterator[str])


async def asynchronous(request: Request) -> None:
    """Check async uses."""
    pending: Coroutine[Any, Any, Response] = endpoint(request)
    assert_type(await pending, Response)
    assert_type(await stacked(1), str)
    assert_type(await Shop.of_class(1), str)


def mistakes() -> None:
    """Check that the checkers still see what is wrong: each ignore below is needed."""
    show("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    show()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cache_response("5m", "1h")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cache_response(ttl=[5])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache_response(5, stale=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

"""`holdfast.django.IdempotencyMiddleware`, in blocking and async projects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from holdfast.django import IdempotencyMiddleware, project_layer
from support.django_site import Visitor, streamed, text, views
from support.waiting import PATIENCE

from django.core.exceptions import ImproperlyConfigured  # isort: skip - needs settings
from asgiref.sync import markcoroutinefunction  # isort: skip
from django.contrib.auth.models import AnonymousUser, User  # isort: skip
from django.test import RequestFactory, override_settings  # isort: skip

ONCE = "holdfast.django.IdempotencyMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"


@pytest.fixture(params=["sync", "async"])
def visitor(request: pytest.FixtureRequest) -> Visitor:
    """A browser in a project of each colour."""
    return Visitor(is_async=request.param == "async")


@pytest.fixture
def use(namespace: str) -> Iterator[Callable[..., Any]]:
    """Return what lets the project do requests once until the test ends."""
    changed = []

    def change(*middleware: str, **options: Any) -> None:
        override = override_settings(
            HOLDFAST={"url": "memory://", "namespace": namespace, "idempotency": options or True},
            MIDDLEWARE=list(middleware),
        )
        override.enable()
        changed.append(override)

    yield change
    for override in changed:
        project_layer().close()
        override.disable()
    views.clear()


def counting(visitor: Visitor, *, status: int = 201, form: str = "whole") -> list[Any]:
    """Let the page answer with the number of its run; return what the runs have seen."""
    seen: list[Any] = []

    def view(request: Any) -> Any:
        seen.append((request.body, request.holdfast_idempotency.key))
        number = str(len(seen))
        if form == "whole":
            response: Any = text(f"run {number}", status=status, headers={"Location": f"/{number}"})
            response.set_cookie("own", number)
            return response
        return streamed(b"run ", number.encode(), is_async=form == "async stream")

    views["page"] = view
    return seen


def test_a_repetition_gets_the_first_answer(use: Callable[..., Any], visitor: Visitor) -> None:
    """With its status and fields, but no cookie; another body is refused, another key runs."""
    use(ONCE)
    seen = counting(visitor)
    first = visitor.ask("post", "/page", "order", idempotency_key='"k"')
    visitor.client.cookies.clear()  # by which a client is told from others
    again = visitor.ask("post", "/page", "order", idempotency_key='"k"')
    assert (first.status_code, first.text_body, first["Location"]) == (201, b"run 1", "/1")
    assert (again.status_code, again.text_body, again["Location"]) == (201, b"run 1", "/1")
    assert again["Idempotency-Replayed"] == "true"
    assert again["Content-Type"] == first["Content-Type"]
    assert first.cookies["own"].value == "1"
    assert "own" not in again.cookies
    assert visitor.ask("post", "/page", "another", idempotency_key='"k"').status_code == 422
    assert visitor.ask("post", "/page", "order", idempotency_key='"l"').text_body == b"run 2"
    assert seen == [(b"order", "k"), (b"order", "l")]


def test_forms_work_in_views_behind_it(use: Callable[..., Any], visitor: Visitor) -> None:
    """The body that was read for the fingerprint can be read again, by `request.POST` too."""
    use(ONCE)
    views["page"] = lambda request: text(request.POST["name"])
    form = {"data": "name=tea", "content_type": "application/x-www-form-urlencoded"}
    if visitor.is_async:

        async def post() -> Any:
            return await visitor.client.post("/page", headers={"Idempotency-Key": "k"}, **form)

        response = asyncio.run(post())
    else:
        response = visitor.client.post("/page", headers={"Idempotency-Key": "k"}, **form)
    assert response.content == b"tea"


@pytest.mark.parametrize("most", [1000, 5, 2])
def test_streamed_answers(use: Callable[..., Any], visitor: Visitor, most: int) -> None:
    """One that fits is kept and replayed; a longer one goes through, and is never made twice."""
    form = "async stream" if visitor.is_async else "stream"
    use(ONCE, max_body=most)
    seen = counting(visitor, form=form)
    assert visitor.ask("post", "/page", "", idempotency_key="k").text_body == b"run 1"
    again = visitor.ask("post", "/page", "", idempotency_key="k")
    assert (again.status_code, again.text_body) == (200, b"run 1") if most >= 5 else again.status_code == 409
    assert len(seen) == 1


def test_what_is_refused_before_the_view(use: Callable[..., Any], visitor: Visitor) -> None:
    """A key that is missing where it is required, or malformed, and a body that is too long."""
    use(ONCE, required=True, max_body=3)
    seen = counting(visitor)
    assert visitor.ask("post", "/page", "a").status_code == 400
    assert visitor.ask("post", "/page", "a", idempotency_key='"').status_code == 400
    assert visitor.ask("post", "/page", "long", idempotency_key="k").status_code == 413
    assert seen == []
    views["page"] = lambda request: text()
    assert visitor.ask("get", "/page").status_code == 200


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_failure_frees_the_key(use: Callable[..., Any], visitor: Visitor, status: int) -> None:
    """What came to nothing may be tried again; so may a view that raised."""
    use(ONCE)
    seen = counting(visitor, status=status)
    visitor.ask("post", "/page", "", idempotency_key="k")
    visitor.ask("post", "/page", "", idempotency_key="k")
    assert len(seen) == 2
    views["page"] = lambda request: 1 / 0
    assert visitor.ask("post", "/page", "", idempotency_key="m").status_code == 500
    views["page"] = lambda request: text()
    assert visitor.ask("post", "/page", "", idempotency_key="m").status_code == 200


def test_what_raises_frees_the_key(use: Callable[..., Any]) -> None:
    """Also what Django does not answer for."""
    use(ONCE)
    for error in (ValueError, KeyboardInterrupt):

        def end(request: Any, error: type[BaseException] = error) -> Any:
            raise error

        for _ in range(2):
            with pytest.raises(error):
                IdempotencyMiddleware(end)(RequestFactory().post("/", headers={"Idempotency-Key": error.__name__}))


def test_what_raises_in_a_loop_frees_the_key(use: Callable[..., Any]) -> None:
    """So does a request that is cancelled, a moment later."""
    use(ONCE)
    runs: list[str] = []

    async def scenario() -> None:
        for error in (ValueError, asyncio.CancelledError):

            async def end(request: Any, error: type[BaseException] = error) -> Any:
                runs.append(error.__name__)
                raise error

            middleware = IdempotencyMiddleware(end)
            while runs.count(error.__name__) < 2:
                with suppress(error):
                    await middleware(RequestFactory().post("/", headers={"Idempotency-Key": error.__name__}))
                await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))
    assert len(runs) == 4


def test_a_second_request_while_the_first_runs(use: Callable[..., Any]) -> None:
    """It gets 409 and comes again."""
    use(ONCE)
    inside = []

    def view(request: Any) -> Any:
        inside.append(Visitor(is_async=False).ask("post", "/page", "", idempotency_key="k"))
        return text()

    views["page"] = view
    assert Visitor(is_async=False).ask("post", "/page", "", idempotency_key="k").status_code == 200
    assert (inside[0].status_code, inside[0]["Retry-After"]) == (409, "1")


def test_nobody_gets_the_answer_of_another(use: Callable[..., Any], visitor: Visitor) -> None:
    """The same key of another session, or with other credentials, is another key."""
    use(SESSIONS, ONCE)
    counting(visitor)
    other = Visitor(is_async=visitor.is_async)
    for each, name in ((visitor, "a"), (other, "b")):
        views["start"] = lambda request, name=name: (request.session.update({"name": name}), text())[1]
        each.ask("get", "/start")
    bodies = [each.ask("post", "/page", "", idempotency_key="k").text_body for each in (visitor, other, visitor)]
    assert bodies == [b"run 1", b"run 2", b"run 1"]
    assert visitor.ask("post", "/page", "", idempotency_key="k", authorization="x").text_body == b"run 3"


class _Users:
    """A middleware that knows users by a field of its own, as one for keys of an API does."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        if asyncio.iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        name = request.headers.get("x-own", "")
        request.user = User(pk=int(name)) if name else AnonymousUser()
        return self.get_response(request)


def test_a_user_that_was_found_outside_is_part_of_the_client(use: Callable[..., Any], visitor: Visitor) -> None:
    """Nobody gets the answer of another user, whatever told who that is."""
    use(f"{__name__}._Users", ONCE)
    counting(visitor)
    names = [{"x_own": "1"}, {"x_own": "2"}, {"x_own": "1"}, {}]
    bodies = []
    for name in names:
        visitor.client.cookies.clear()
        bodies.append(visitor.ask("post", "/page", "", idempotency_key="k", **name).text_body)
    assert bodies == [b"run 1", b"run 2", b"run 1", b"run 3"]


def test_one_inside_of_another(use: Callable[..., Any], visitor: Visitor) -> None:
    """The inner one lets through what the outer one does once already, rather than wait for its own end."""
    use(ONCE, ONCE)
    seen = counting(visitor)
    for _ in range(2):
        visitor.client.cookies.clear()
        assert visitor.ask("post", "/page", "", idempotency_key="k").text_body == b"run 1"
    assert len(seen) == 1


def test_options_that_cannot_work(use: Callable[..., Any]) -> None:
    """They show when the project starts."""
    use(ONCE, methods=["GET"])
    with pytest.raises(ImproperlyConfigured, match="methods="):
        Visitor(is_async=False).ask("get", "/page")

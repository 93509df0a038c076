"""`holdfast.django.RateLimitMiddleware` and `RefusalMiddleware`, in blocking and async projects."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from holdfast import Layer, LockNotAcquired, RateLimited, _forgotten
from holdfast.django import RateLimitMiddleware, project_layer
from holdfast.web import LimitRule
from support.django_site import Visitor, streamed, text, views
from support.waiting import until

import django  # isort: skip - needs settings
from holdfast.django.responses import AsyncEnding, Ending, HeldAsyncStream, HeldStream  # isort: skip
from django.core.asgi import get_asgi_application  # isort: skip
from django.core.exceptions import ImproperlyConfigured  # isort: skip
from django.http import StreamingHttpResponse  # isort: skip
from django.test import RequestFactory, override_settings  # isort: skip

LIMITS = "holdfast.django.RateLimitMiddleware"
REFUSALS = "holdfast.django.RefusalMiddleware"


@pytest.fixture(params=["sync", "async"])
def visitor(request: pytest.FixtureRequest) -> Visitor:
    """A browser in a project of each colour."""
    return Visitor(is_async=request.param == "async")


@pytest.fixture
def use(namespace: str) -> Iterator[Callable[..., Any]]:
    """Return what lets the project have limits until the test ends."""
    changed = []

    def change(*middleware: str, just: Any = None, **limits: Any) -> None:
        override = override_settings(
            HOLDFAST={"url": "memory://", "namespace": namespace, "limits": just or limits}, MIDDLEWARE=list(middleware)
        )
        override.enable()
        changed.append(override)

    yield change
    for override in changed:
        project_layer().close()
        override.disable()
    views.clear()


def test_a_client_that_asks_too_often_is_refused(use: Callable[..., Any], visitor: Visitor) -> None:
    """The fields tell what is left; a refusal is a problem that nobody keeps, and the view does not see it."""
    use(LIMITS, just="2/minute")
    seen = []

    def view(request: Any) -> Any:
        seen.append(request.holdfast_limit.remaining)
        return text()

    views["page"] = view
    first = visitor.ask("get", "/page")
    assert (first.status_code, first["RateLimit"]) == (200, '"per-minute";r=1;t=30')
    visitor.ask("get", "/page")
    refused = visitor.ask("get", "/page")
    assert (refused.status_code, refused["Content-Type"]) == (429, "application/problem+json")
    assert refused["Cache-Control"] == "no-store"
    assert int(refused["Retry-After"]) in range(1, 31)
    assert visitor.ask("head", "/page").text_body == b""
    assert seen == [1, 0]


def test_rules_by_route_and_by_what_a_function_says(use: Callable[..., Any], visitor: Visitor) -> None:
    """A route is what Django calls so, whatever the path; a function gets Django's request; all have to admit."""

    def by(request: Any) -> str:
        return request.raw.headers["X-Who"] + str(request.route)

    use(LIMITS, rules=[LimitRule("2/minute", routes=["items/<int:pk>/"], by=by)])
    views["item"] = views["page"] = lambda request: text()
    found = [visitor.ask("get", f"/items/{pk}/", x_who="a").status_code for pk in range(3)]
    assert found == [200, 200, 429]
    assert visitor.ask("get", "/items/7/", x_who="b").status_code == 200
    assert visitor.ask("get", "/page", x_who="a").has_header("RateLimit") is False
    assert visitor.ask("get", "/no/such/page", x_who="a").status_code == 404


def test_a_project_that_tells_of_limits_itself(use: Callable[..., Any], visitor: Visitor) -> None:
    """Its own fields stay, and ours are left out."""
    use(LIMITS, quota="2/minute")
    views["page"] = lambda request: text(headers={"X-RateLimit-Limit": "9"})
    response = visitor.ask("get", "/page")
    assert response["X-RateLimit-Limit"] == "9"
    assert not response.has_header("RateLimit")


def test_a_slot_is_held_until_the_response_ends(use: Callable[..., Any], visitor: Visitor) -> None:
    """Whoever streams holds it to the last piece; whoever is refused gets none; a view that raises keeps none."""
    use(LIMITS, rules=[LimitRule(concurrency=1, by=None)])
    inside = []

    def nested(request: Any) -> Any:
        inside.append(Visitor(is_async=False).ask("get", "/plain").status_code)
        return streamed(b"a", b"b", is_async=visitor.is_async)

    views["page"], views["plain"] = nested, lambda request: text()
    views["fail"] = lambda request: 1 / 0
    for _ in range(2):
        assert visitor.ask("get", "/page").text_body == b"ab"
        assert visitor.ask("get", "/fail").status_code == 500
        assert visitor.ask("get", "/plain").status_code == 200
    assert inside == ([429, 429] if not visitor.is_async else inside)


def test_a_response_that_is_closed_or_forgotten_holds_nothing(use: Callable[..., Any]) -> None:
    """A client that leaves in the middle, or before the first piece, frees its slot."""
    use(LIMITS, rules=[LimitRule(concurrency=1, by=None)])
    views["page"], views["plain"] = lambda request: streamed(b"a", b"b", is_async=False), lambda request: text()
    from django.test import Client

    for read in (0, 1):
        for end in ("close", "forget"):
            response = Client().get("/page")
            pieces = iter(response.streaming_content)
            assert [next(pieces) for _ in range(read)] == [b"a"][:read]
            assert Client().get("/plain").status_code == 429
            if end == "close":
                response.close()
            del response, pieces
            gc.collect()  # the client of the tests ties a knot around each response
            until(lambda: Client().get("/plain").status_code == 200, "the slot is free")


def test_a_response_that_is_collected_leaves_its_end_to_another_thread(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A destructor may run inside of any lock, or in a loop: it talks to nobody."""
    left: list[Any] = []
    monkeypatch.setattr(_forgotten, "leave", left.append)

    async def produce() -> Any:
        yield b"a"

    ended: list[bool] = []
    ending: Any
    if visitor.is_async:
        ending = AsyncEnding(lambda size: _note(ended), lambda work: None)
        stream: Any = HeldAsyncStream(produce(), ending)
    else:
        ending = Ending(lambda size: ended.append(True))
        stream = HeldStream(iter([b"a"]), ending)
    del stream
    gc.collect()
    assert (len(left), ended) == (1, [])
    left.pop()()
    assert ended == [True]
    assert ending.is_over


async def _note(ended: list[bool]) -> None:
    ended.append(True)


def test_a_route_that_the_project_does_not_have_leaves_a_warning(
    use: Callable[..., Any], visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    """Once; one that it has leaves none."""
    use(LIMITS, rules=[LimitRule("9/minute", routes=["items/<int:pk>/", "/items/{pk}"], name="items")])
    views["item"] = lambda request: text()
    for _ in range(2):
        assert visitor.ask("get", "/items/7/").status_code == 200
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "holdfast"]
    assert "LimitRule 'items' is about the route /items/{pk}," in warning
    assert "items/<int:pk>/" in warning


async def _ask_asgi(app: Any, path: str, *, leaves: bool = False) -> int:
    """Return the status of a response; at its first piece ask for another page, and leave if that is wanted."""
    gone = asyncio.Event()
    messages = [{"type": "http.request", "body": b"", "more_body": False}]
    statuses: list[int] = []

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))
        if message.get("body") == b"first":
            statuses.append(await _ask_asgi(app, "/plain"))
            if leaves:
                gone.set()

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    await app({**scope, "client": ("10.0.0.1", 1)}, receive, send)
    return max(statuses)


@pytest.mark.parametrize(
    ("form", "inside"),
    [
        pytest.param("left", 429, marks=pytest.mark.skipif(django.VERSION < (5,), reason="it does not hear of that")),
        ("whole", 429),
        ("plain", 200),
    ],
)
def test_clients_of_an_async_server_hold_nothing_at_the_end(use: Callable[..., Any], form: str, inside: int) -> None:
    """Whether one reads an async stream to its end or leaves in the middle; a plain one Django collects before."""
    use(LIMITS, rules=[LimitRule(concurrency=1, by=None)])

    async def produce() -> Any:
        yield b"first"
        if form == "left":
            await asyncio.Event().wait()
        yield b"last"

    def view(request: Any) -> Any:
        return streamed(b"first", b"last", is_async=False) if form == "plain" else StreamingHttpResponse(produce())

    async def scenario() -> None:
        app = get_asgi_application()
        for _ in range(2):
            assert await _ask_asgi(app, "/page", leaves=form == "left") == inside
        assert await _ask_asgi(app, "/plain") == 200

    views["page"], views["plain"] = view, lambda request: text()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Warning)  # of Django, about plain streams here
        asyncio.run(scenario())


@pytest.mark.parametrize("is_async", [False, True])
def test_what_is_cancelled_or_interrupted_holds_nothing(use: Callable[..., Any], is_async: bool) -> None:
    """Django answers for errors, but lets through what ends the request or the process."""
    use(LIMITS, rules=[LimitRule(concurrency=1, by=None)])

    def end(request: Any) -> Any:
        raise KeyboardInterrupt

    async def aend(request: Any) -> Any:
        raise asyncio.CancelledError

    for _ in range(2):  # the second is admitted, since the first holds nothing
        request = RequestFactory().get("/")
        if is_async:
            with pytest.raises(asyncio.CancelledError):
                asyncio.run(RateLimitMiddleware(aend)(request))
        else:
            with pytest.raises(KeyboardInterrupt):
                RateLimitMiddleware(end)(request)


def test_the_true_cost_is_charged_when_the_response_is_there(use: Callable[..., Any], visitor: Visitor) -> None:
    """`settle` gets the status, the fields and the size of a response, whole or streamed."""
    told: list[Any] = []

    def settle(status: int, pairs: Any, size: int) -> int:
        told.append((status, dict(pairs)["Content-Type"], size))
        return 5

    use(LIMITS, quota="100/minute", settle=settle)
    views["page"] = lambda request: text("four")
    views["stream"] = lambda request: streamed(b"a", b"bc", is_async=visitor.is_async)
    visitor.ask("get", "/page")
    visitor.ask("get", "/stream")
    assert told == [(200, "text/plain", 4), (200, "text/plain", 3)]
    assert visitor.ask("get", "/page")["RateLimit"].startswith('"per-minute";r=89')


def test_a_refusal_may_be_a_response_of_django(use: Callable[..., Any], visitor: Visitor) -> None:
    """What `on_refused` returns is sent, with the fields that every refusal has."""
    use(LIMITS, quota="1/minute", on_refused=lambda request, decision: text("slow down", status=429))
    views["page"] = lambda request: text()
    visitor.ask("get", "/page")
    refused = visitor.ask("get", "/page")
    assert (refused.status_code, refused.text_body, refused["Cache-Control"]) == (429, b"slow down", "no-store")
    assert refused.has_header("Retry-After")


def test_async_functions_are_for_async_projects(use: Callable[..., Any]) -> None:
    """In a blocking one nobody would await them, which shows when the project starts."""

    async def by(request: Any) -> str:
        return "all"

    use(LIMITS, rules=[LimitRule("1/minute", by=by)])
    views["page"] = lambda request: text()
    assert [Visitor(is_async=True).ask("get", "/page").status_code for _ in range(2)] == [200, 429]
    with pytest.raises(ImproperlyConfigured, match="is async"):
        Visitor(is_async=False).ask("get", "/page")


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ({}, "limits nothing"),
        ({"quotas": "1/minute"}, "has no option 'quotas'"),
        ({"quota": "1/minute", "messages": "1/second"}, "messages="),
    ],
)
def test_options_that_cannot_work(use: Callable[..., Any], limits: dict[str, Any], complaint: str) -> None:
    """They show when the project starts, as Django's own mistakes in settings do."""
    use(LIMITS, **limits)
    with pytest.raises(ImproperlyConfigured, match=complaint):
        Visitor(is_async=False).ask("get", "/page")


def test_what_views_are_refused_becomes_a_response(use: Callable[..., Any], visitor: Visitor) -> None:
    """`RateLimited` and `LockNotAcquired` are problems for the client; whatever else is raised stays a 500."""
    use(REFUSALS)
    layer = Layer("memory://")
    decision = [layer.limiter.hit("1/minute", "a") for _ in range(2)][1]

    def raise_it(error: Exception) -> Callable[[Any], Any]:
        def view(request: Any) -> Any:
            raise error

        return view

    views["limited"] = raise_it(RateLimited(decision))
    views["locked"] = raise_it(LockNotAcquired("held"))
    views["wrong"] = raise_it(KeyError("x"))
    limited = visitor.ask("get", "/limited")
    assert (limited.status_code, limited["Content-Type"]) == (429, "application/problem+json")
    assert limited.has_header("Retry-After")
    locked = visitor.ask("get", "/locked")
    assert (locked.status_code, locked["Retry-After"], locked["Cache-Control"]) == (409, "1", "no-store")
    assert visitor.ask("head", "/locked").text_body == b""
    assert visitor.ask("get", "/wrong").status_code == 500
    layer.close()

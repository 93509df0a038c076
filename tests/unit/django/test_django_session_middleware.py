"""`holdfast.django.SessionMiddleware`: what clients get while sessions cannot be read or stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast import BackendError
from holdfast.django import SessionMiddleware
from support.django_site import store

from django.http import HttpResponse  # isort: skip - needs settings
from django.test import RequestFactory, override_settings  # isort: skip

AWAY = {"url": "redis://127.0.0.1:1/0", "namespace": "away"}
KEY = f"{'a' * 22}.{'b' * 43}"


def _ask(view: Callable[[Any], HttpResponse], method: str = "GET", *, key: str = KEY, **settings: Any) -> HttpResponse:
    def answer(request: Any) -> HttpResponse:
        try:
            return view(request)
        except BackendError:  # as Django does with what a view raises
            return HttpResponse("<h1>Server Error (500)</h1>", status=500)

    request = RequestFactory().generic(method, "/")
    request.COOKIES["sessionid"] = key
    with override_settings(SESSION_ENGINE="holdfast.django.sessions", **settings):
        response: HttpResponse = SessionMiddleware(answer)(request)
    return response


def _look(request: Any) -> HttpResponse:
    return HttpResponse(str(request.session.get("cart")))


def _write(request: Any) -> HttpResponse:
    request.session = store()
    request.session["cart"] = 1
    return HttpResponse("written")


@pytest.mark.parametrize("view", [_look, _write])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_needs_a_session_is_unavailable(view: Callable[[Any], HttpResponse], method: str) -> None:
    """A view that reads or writes it gets 503 for its client, and no cookie, also where Django has made a 500 of it."""
    response = _ask(view, method, HOLDFAST=AWAY)
    assert (response.status_code, response["Cache-Control"], response["Retry-After"]) == (503, "no-store", "1")
    assert response["Content-Type"] == "application/problem+json"
    assert (not response.content) is (method == "HEAD")
    assert not response.cookies


def test_what_needs_no_session_is_served() -> None:
    """A page that does not look is answered as ever."""
    response = _ask(lambda _: HttpResponse("public"), HOLDFAST=AWAY)
    assert (response.status_code, response.content) == (200, b"public")


def test_sessions_work_as_in_django() -> None:
    """With Redis, it is Django's middleware: what is written is stored, and its cookie set."""
    holdfast = {"url": "memory://django-session-middleware", "namespace": "there"}
    response = _ask(_write, HOLDFAST=holdfast)
    assert (response.status_code, bool(response.cookies["sessionid"].value)) == (200, True)
    assert _ask(_look, HOLDFAST=holdfast).content == b"None"


THERE = {"url": "memory://django-session-middleware", "namespace": "told"}
LINES = {
    "Cache-Control": "public, max-age=60",
    "CDN-Cache-Control": "max-age=60",
    "Surrogate-Control": "max-age=60",
    "Expires": "Thu, 01 Jan 2099 00:00:00 GMT",
}


def _said(response: HttpResponse) -> dict[str, str]:
    return {name: value for name, value in response.items() if name != "Content-Type"}


def test_what_depends_on_a_session_is_private() -> None:
    """It varies with the cookie, too; what a view says itself stays, and a page that does not look is left alone."""

    def say(request: Any) -> HttpResponse:
        request.session.get("cart")
        return HttpResponse("mine", headers={"Cache-Control": "max-age=60"})

    key = _ask(_write, HOLDFAST=THERE).cookies["sessionid"].value
    assert _said(_ask(_look, key=key, HOLDFAST=THERE)) == {"Vary": "Cookie", "Cache-Control": "private"}
    assert _said(_ask(say, key=key, HOLDFAST=THERE)) == {"Vary": "Cookie", "Cache-Control": "max-age=60"}
    assert _said(_ask(lambda _: HttpResponse("public"), key=key, HOLDFAST=THERE)) == {}


@pytest.mark.parametrize("lines", [{}, LINES])
def test_no_cache_keeps_what_sets_the_cookie(lines: dict[str, str]) -> None:
    """Whatever the view says to caches: who got the page from one would get the session with it."""

    def write(request: Any) -> HttpResponse:
        request.session = store()
        request.session["cart"] = 1
        return HttpResponse("written", headers=lines)

    response = _ask(write, HOLDFAST=THERE)
    assert response.cookies["sessionid"].value
    assert _said(response) == {"Vary": "Cookie", "Cache-Control": "private, no-store"}


def test_no_cache_keeps_what_takes_the_cookie_away() -> None:
    """A page from a cache would log out whoever sees it."""

    def leave(request: Any) -> HttpResponse:
        request.session.flush()
        return HttpResponse("bye", headers=LINES)

    response = _ask(leave, HOLDFAST=THERE)
    assert (response.cookies["sessionid"].value, _said(response)["Cache-Control"]) == ("", "private, no-store")

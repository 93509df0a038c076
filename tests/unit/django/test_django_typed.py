"""What holdfast leaves with a request of Django, and what ``manage.py check`` says of the settings."""

from __future__ import annotations

import re
from typing import Any

import pytest

from holdfast import ConfigurationError
from holdfast.django import IdempotencyMiddleware, RateLimitMiddleware, idempotency_of, limit_of, session_of
from holdfast.django.apps import HoldfastConfig
from holdfast.django.checks import check_settings
from support.django_site import store

from django.http import HttpResponse  # isort: skip - needs settings
from django.test import RequestFactory, override_settings  # isort: skip


def _holdfast(namespace: str, **parts: Any) -> dict[str, Any]:
    return {"url": f"memory://{namespace}", "namespace": namespace, **parts}


def test_the_session_is_that_of_the_request() -> None:
    """Itself; a session of another engine, or none, is a mistake that says what to do."""
    request = RequestFactory().get("/")
    for session in (None, {"cart": []}):
        request.session = session  # type: ignore[assignment]
        with pytest.raises(
            ConfigurationError, match=r"MIDDLEWARE, and set SESSION_ENGINE = 'holdfast\.django\.sessions'"
        ):
            session_of(request)
    request.session = store()
    assert session_of(request) is request.session


def test_what_the_middleware_leave_is_found(namespace: str) -> None:
    """The decision of the limits, and the key; None without them."""
    found: list[Any] = []

    def view(request: Any) -> HttpResponse:
        found[:] = [limit_of(request), idempotency_of(request)]
        return HttpResponse("ok")

    with override_settings(HOLDFAST=_holdfast(namespace, limits="5/minute", idempotency={})):
        site = RateLimitMiddleware(IdempotencyMiddleware(view))
        site(RequestFactory().post("/", headers={"Idempotency-Key": "a1"}))
        assert (found[0].remaining, found[1].key) == (4, "a1")
        site(RequestFactory().post("/"))
        assert found[1] is None
    view(RequestFactory().get("/"))
    assert found == [None, None]


ALL = [f"holdfast.django.{each}Middleware" for each in ("RateLimit", "Session", "Idempotency", "Refusal")]


@pytest.mark.parametrize(
    ("parts", "complaints"),
    [
        ({"limits": "5/minute"}, []),
        ({"limits": {"qouta": "5/minute"}}, [r"RateLimitMiddleware: .*no option 'qouta'"]),
        ({}, ["RateLimitMiddleware: .*limits nothing"]),
        ({"limits": "5/minute", "idempotency": {"lease": "never"}}, ["IdempotencyMiddleware: .*lease"]),
        ({"limits": "5/minute", "sessions": {"idle": 1}}, ["sessions: .*no option 'idle'"]),
        ({"limits": "5/minute", "urll": 1}, ["^HOLDFAST: .*no option 'urll'"]),
    ],
)
def test_check_finds_what_cannot_work(namespace: str, parts: dict[str, Any], complaints: list[str]) -> None:
    """Before the first worker loads the project, with the name of the part."""
    with override_settings(HOLDFAST=_holdfast(namespace, **parts), MIDDLEWARE=["django.Other", *ALL]):
        found = check_settings()
    assert [message.id for message in found] == ["holdfast.E001"] * len(complaints)
    for message, complaint in zip(found, complaints, strict=True):
        assert re.search(complaint, message.msg)


async def _whose(request: Any) -> str:
    return "ada"


def test_check_leaves_to_the_server_what_only_it_can_tell(namespace: str) -> None:
    """An async function may stand in the settings of a project that is served by ASGI."""
    parts = {"limits": "5/minute", "idempotency": {"identity": _whose}}
    with override_settings(HOLDFAST=_holdfast(namespace, **parts), MIDDLEWARE=ALL):
        assert check_settings() == []


def test_check_is_part_of_the_app() -> None:
    """`"holdfast.django"` in INSTALLED_APPS is enough for `manage.py check`."""
    config = HoldfastConfig.create("holdfast.django")
    with pytest.MonkeyPatch.context() as patch:
        registered: list[Any] = []
        patch.setattr("holdfast.django.apps.register", registered.append)
        patch.setattr("holdfast.django.apps.make_default", lambda _: None)
        config.ready()
    assert registered == [check_settings]

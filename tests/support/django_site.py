"""The Django project of the tests. Settings can be made only once in a process, so all tests of Django share these.

Import it before anything of Django that needs settings; change some of them in a test with `override_settings`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        SECRET_KEY="a secret of the tests of Django",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="support.django_site",
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "file:site?mode=memory&cache=shared"}},
        HOLDFAST={"url": "memory://django-site", "namespace": "site"},
        CACHES={"default": {"BACKEND": "holdfast.django.HoldfastCache"}},
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        SESSION_ENGINE="holdfast.django.sessions",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        USE_TZ=True,
    )
    django.setup()

from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path


def make_cache(url: str, namespace: str, /, **params: Any) -> Any:
    """Return a cache as Django makes it from an entry of CACHES with this LOCATION and these params."""
    from holdfast.django import HoldfastCache

    options = {"namespace": namespace, **params.pop("OPTIONS", {})}
    return HoldfastCache(url, {**params, "OPTIONS": options})


def store(key: str | None = None) -> Any:
    """Return a session of Django, as its middleware makes one of a cookie."""
    from holdfast.django.sessions import SessionStore

    return SessionStore(key)


views: dict[str, Callable[[Any], Any]] = {}
"""What answers the next requests, by name; a test sets it."""


def _answer(request: Any, name: str) -> Any:
    return views[name](request)


def _answer_item(request: Any, pk: int) -> Any:
    return views["item"](request)


urlpatterns = [path("items/<int:pk>/", _answer_item), path("<str:name>", _answer)]


class Visitor:
    """A browser in a project of Django that serves blocking or async, with its cookies."""

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async
        self.client: Any = (AsyncClient if is_async else Client)(raise_request_exception=False)

    def ask(self, method: str, target: str, data: Any = None, /, **fields: str) -> Any:
        """Return the response to a request, with its body read."""
        content = {} if data is None else {"data": data, "content_type": "text/plain"}
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        if not self.is_async:
            response = getattr(self.client, method)(target, headers=headers, **content)
            response.text_body = b"".join(response) if response.streaming else response.content
            return response

        async def scenario() -> Any:
            response = await getattr(self.client, method)(target, headers=headers, **content)
            if response.streaming:
                response.text_body = b"".join([piece async for piece in response])
            else:
                response.text_body = response.content
            return response

        return asyncio.run(scenario())


def text(body: str = "body", **options: Any) -> HttpResponse:
    """Return a response of text."""
    return HttpResponse(body, content_type="text/plain", **options)


def streamed(*pieces: bytes, is_async: bool) -> StreamingHttpResponse:
    """Return a response in pieces."""

    def produce() -> Iterator[bytes]:
        yield from pieces

    async def aproduce() -> Any:
        for piece in pieces:
            yield piece

    return StreamingHttpResponse(aproduce() if is_async else produce(), content_type="text/plain")

"""The Django project of the tests. Settings can be made only once in a process, so all tests of Django share these.

Import it before anything of Django that needs settings; change some of them in a test with `override_settings`.
"""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        SECRET_KEY="a secret of the tests of Django",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="support.django_site",
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "holdfast.django"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        HOLDFAST={"url": "memory://django-site", "namespace": "site"},
        CACHES={"default": {"BACKEND": "holdfast.django.HoldfastCache"}},
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        SESSION_ENGINE="holdfast.django.sessions",
        USE_TZ=True,
    )
    django.setup()

urlpatterns: list[Any] = []


def make_cache(url: str, namespace: str, /, **params: Any) -> Any:
    """Return a cache as Django makes it from an entry of CACHES with this LOCATION and these params."""
    from holdfast.django import HoldfastCache

    options = {"namespace": namespace, **params.pop("OPTIONS", {})}
    return HoldfastCache(url, {**params, "OPTIONS": options})

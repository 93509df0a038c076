"""The layers of a Django project, by its settings: one for each place and set of options, however many want it.

`settings.HOLDFAST` is a dict with the options of `holdfast.Layer`, with ``"url"`` among them, and with one dict for
each part that has options of its own. Entries are signed with a secret that is derived from `SECRET_KEY`, and verified
with those derived from `SECRET_KEY_FALLBACKS`, too.
"""

# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from typing import Any, Final, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from holdfast.defaults import default_layer
from holdfast.errors import ConfigurationError
from holdfast.layer import Layer, LayerOptions, url_of_env
from holdfast.policy.quota import Quota

PARTS: Final = frozenset({"idempotency", "limits", "sessions"})
"""What in `settings.HOLDFAST` is no option of the layer."""
_DOMAIN: Final = b"holdfast.django"

_made: list[tuple[str, dict[str, Any], Layer]] = []
_lock = threading.Lock()


def layer_at(url: str, options: Mapping[str, Any]) -> Layer:
    """Return the layer for a URL and options, the same one for the same.

    Raises:
        ImproperlyConfigured: an option cannot work; the message names it.
    """
    given: dict[str, Any] = {"secret": project_secrets(), **options}
    with _lock:
        for known, others, layer in _made:
            if known == url and others == given:
                return layer
        try:
            layer = Layer(url, **given)
        except (ConfigurationError, TypeError) as error:
            msg = f"holdfast cannot be set up: {error}"
            raise ImproperlyConfigured(msg) from error
        _made.append((url, given, layer))
    return layer


def project_layer() -> Layer:
    """Return the layer of `settings.HOLDFAST`; without that setting, holdfast's default layer.

    Raises:
        ImproperlyConfigured: the setting cannot work.
    """
    if not hasattr(settings, "HOLDFAST"):
        return default_layer()
    url, options = project_terms()
    return layer_at(url, options)


def project_terms() -> tuple[str, dict[str, Any]]:
    """Return the URL and the options of the project's layer."""
    options = {name: value for name, value in _setting().items() if name not in PARTS}
    url = options.pop("url", None) or url_of_env()
    options.setdefault("namespace", os.environ.get("HOLDFAST_NAMESPACE", ""))
    known = LayerOptions.__optional_keys__
    unknown = sorted(set(options) - known)
    if unknown:
        msg = f"HOLDFAST has no option {unknown[0]!r}; it has {', '.join(sorted({'url', *known, *PARTS}))}"
        raise ImproperlyConfigured(msg)
    return url, options


def part_options(part: str) -> dict[str, Any]:
    """Return the options of one part, such as ``"limits"``; none where `settings.HOLDFAST` does not name it.

    True is a part without options, and limits may be just a quota.
    """
    options: Any = _setting().get(part, {})
    if part == "limits" and isinstance(options, str | Quota):
        return {"quota": options}
    if options is True:
        return {}
    if not isinstance(options, Mapping):
        msg = f"HOLDFAST[{part!r}] must be a dict of options, not {type(options).__name__}"
        raise ImproperlyConfigured(msg)
    return dict(cast("Mapping[str, Any]", options))


def project_secrets() -> list[bytes]:
    """Return the secrets that are derived from Django's, the newest first.

    They are of no use anywhere else, and long enough whatever `SECRET_KEY` is. A short one can be guessed all the
    same, which Django's own ``check --deploy`` says.
    """
    keys = [settings.SECRET_KEY, *getattr(settings, "SECRET_KEY_FALLBACKS", ())]
    return [hashlib.sha256(_DOMAIN + _as_bytes(key)).digest() for key in keys]


def _as_bytes(key: str | bytes) -> bytes:
    return key if isinstance(key, bytes) else key.encode("utf-8", "surrogatepass")


def _setting() -> Mapping[str, Any]:
    setting: Any = getattr(settings, "HOLDFAST", {})
    if not isinstance(setting, Mapping):
        msg = f"HOLDFAST must be a dict, such as {{'url': 'redis://localhost:6379/0'}}, not {type(setting).__name__}"
        raise ImproperlyConfigured(msg)
    return cast("Mapping[str, Any]", setting)

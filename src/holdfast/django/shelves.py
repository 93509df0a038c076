"""What a cache of Django stands on: its layer, its shelf there, and for how long it keeps values."""

# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from django.core.exceptions import ImproperlyConfigured

from holdfast._durations import seconds
from holdfast.codec import Codec
from holdfast.core.shelf import Shelf
from holdfast.django.layers import layer_at, project_layer, project_secrets, project_terms
from holdfast.errors import ConfigurationError
from holdfast.layer import Layer, LayerOptions

_OWN: Final = frozenset({"serializer", "compression", "max_timeout"})
_DJANGOS: Final = frozenset({"MAX_ENTRIES", "CULL_FREQUENCY"})
"""What Django gives to every backend, and a Redis has no use for."""
_LAYERS: Final = LayerOptions.__optional_keys__ - _OWN
_LONGEST: Final = "30d"

_shelves: dict[tuple[Layer, str, str | None, float, bool], Shelf] = {}
_lock = threading.Lock()


class Opened(NamedTuple):
    """One cache of Django, opened; those of all threads and tasks share what is in it."""

    layer: Layer
    shelf: Shelf
    longest: float
    """Seconds for which a value is kept at most."""


def open_shelf(location: object, options: Mapping[str, Any]) -> Opened:
    """Return what one entry of `CACHES` describes.

    Args:
        location: its LOCATION; empty for the project's own.
        options: its OPTIONS.

    Raises:
        ImproperlyConfigured: one of them cannot work.
    """
    unknown = sorted(set(options) - _OWN - _LAYERS - _DJANGOS)
    if unknown:
        msg = f"OPTIONS has no {unknown[0]!r}; it has {', '.join(sorted(_OWN | _LAYERS))}"
        raise ImproperlyConfigured(msg)
    layer, bypass = _layer(location, {name: value for name, value in options.items() if name in _LAYERS})
    serializer, compression = options.get("serializer", "pickle"), options.get("compression")
    try:
        longest = seconds(options.get("max_timeout", _LONGEST), "OPTIONS max_timeout")
        with _lock:
            place = layer, serializer, compression, longest, bypass
            shelf = _shelves.get(place) or _shelves.setdefault(place, _shelf(*place))
    except ConfigurationError as error:
        raise ImproperlyConfigured(str(error)) from error
    return Opened(layer, shelf, longest)


def _layer(location: object, options: dict[str, Any]) -> tuple[Layer, bool]:
    """Return a layer, and whether it goes on without Redis."""
    if not isinstance(location, str):
        msg = f"LOCATION must be one URL, such as 'redis://localhost:6379/0', not {type(location).__name__}"
        raise ImproperlyConfigured(msg)
    if location:
        return layer_at(location, options), _bypasses(options)
    url, others = project_terms()
    if options:
        return layer_at(url, others | options), _bypasses(others | options)
    return project_layer(), _bypasses(others)


def _bypasses(options: Mapping[str, Any]) -> bool:
    return bool(options.get("on_failure", "bypass") == "bypass")


def _shelf(layer: Layer, serializer: str, compression: str | None, longest: float, bypass: bool) -> Shelf:
    engine = layer.engine
    codec = Codec(
        engine.serializers,
        serializer,
        Any,
        compression=compression or engine.compression,
        secrets=engine.secrets or tuple(project_secrets()),
    )
    return Shelf(
        engine.namespace,
        codec,
        engine.recorder,
        bypass=bypass,
        longest=longest,
        # What pickle gives back is what Django's contract promises; other formats may turn one type into another.
        checked=serializer != "pickle",
    )

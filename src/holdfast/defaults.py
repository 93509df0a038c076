"""The default layer: which one decorators and middlewares use that name none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Unpack

from holdfast.engine import Engine
from holdfast.errors import ConfigurationError
from holdfast.layer import Layer, LayerOptions

_default: Layer | None = None
_find_default: Callable[[], Layer | None] | None = None
"""Finds the default layer of the app that runs here, where one process has several."""
_default_lock = threading.Lock()


def configure(url: str = "memory://", **options: Unpack[LayerOptions]) -> Layer:
    """Make a layer and let it be the default one, which decorators without `layer=` find at each call.

    A default layer that was there before goes out of use, but is not closed: somebody may still hold it.

    Raises:
        ConfigurationError: an option cannot work; the message names it.
    """
    layer = Layer(url, **options)
    make_default(layer)
    return layer


def make_default(layer: Layer) -> None:
    """Let a layer that is there already be the default one, as `configure` lets the one that it makes."""
    global _default  # noqa: PLW0603 - there is one default layer
    with _default_lock:
        _default = layer


def find_default_by(find: Callable[[], Layer | None]) -> None:
    """Ask a function for the default layer first: that of the app that runs here, of several; None if none does."""
    global _find_default  # noqa: PLW0603 - there is one default layer
    _find_default = find


def current_default() -> Layer | None:
    """Return the default layer if there is one by now; unlike `default_layer`, make none."""
    return _default


def default_layer() -> Layer:
    """Return the layer that decorators without ``layer=`` use now.

    It is that of `configure`; without one, that of the environment (`Layer.from_env`), made when first asked for.
    """
    global _default  # noqa: PLW0603 - there is one default layer
    found = None if _find_default is None else _find_default()
    if found is not None:
        return found
    if _default is None:
        with _default_lock:
            if _default is None:
                _default = Layer.from_env()
    return _default


def engine_of(layer: Layer | None) -> Callable[[], Engine]:
    """Return what finds the engine of a layer, or of the default layer of the moment.

    Raises:
        ConfigurationError: it is no layer.
    """
    if layer is None:
        return lambda: default_layer().engine
    if not isinstance(layer, Layer):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
        msg = f"layer= must be a Layer, such as Layer('redis://localhost:6379/0'), not {type(layer).__name__}"
        raise ConfigurationError(msg)
    return lambda: layer.engine

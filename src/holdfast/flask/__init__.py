"""For apps of Flask: the layer and the middleware by configuration, sessions, the answers to refusals, and commands."""

from __future__ import annotations

from holdfast.flask.extension import Holdfast
from holdfast.flask.sessions import HoldfastSession, HoldfastSessionInterface

__all__ = ["Holdfast", "HoldfastSession", "HoldfastSessionInterface"]

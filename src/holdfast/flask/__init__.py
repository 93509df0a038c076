"""For apps of Flask: the layer and the middleware by configuration, sessions, the answers to refusals, and commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import session as _session

from holdfast.flask.extension import Holdfast
from holdfast.flask.sessions import HoldfastSession, HoldfastSessionInterface

__all__ = ["Holdfast", "HoldfastSession", "HoldfastSessionInterface", "session"]

if TYPE_CHECKING:
    session: HoldfastSession
else:
    session = _session
"""Flask's own `session`, with the type that it has here."""

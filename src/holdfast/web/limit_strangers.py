"""What is logged of requests that are refused because nobody can tell whom they are from.

Behind a proxy that is named wrongly that is every request, and whoever runs the app would see nothing but a status.
"""

from __future__ import annotations

import logging
import math
from time import monotonic
from typing import Final

_PAUSE: Final = 60.0
"""Seconds between two warnings: strangers shall not fill a log."""
_log = logging.getLogger("holdfast")


class Strangers:
    """Warns of them, for one middleware, at most once a minute."""

    __slots__ = ("_due",)

    def __init__(self) -> None:
        self._due = -math.inf

    def note(self, why: str) -> None:
        """Note that a request was refused.

        Args:
            why: nobody can tell whom it is from: what is missing, and the option that asks for it; no values of fields.
        """
        now = monotonic()
        if now < self._due:
            return
        self._due = now + _PAUSE
        _log.warning("a request was answered with 400, since nobody can tell whom it is from: %s", why)

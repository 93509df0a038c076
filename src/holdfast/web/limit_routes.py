"""A look at what rules say of routes: one that no route fits limits nothing, and nobody would notice."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from holdfast.web.limit_matching import EdgeRule

_SHOWN: Final = 3
"""Templates in one warning: those that look most like the one that is missing."""
_log = logging.getLogger("holdfast")


def warn_of_routes(rules: Iterable[EdgeRule], templates: Iterable[str]) -> None:
    """Warn of each template in `routes=` that no route of an app has.

    Args:
        rules: those of the middleware.
        templates: all that the app has; nothing if nobody can tell.
    """
    known = frozenset(templates)
    for rule in rules if known else ():
        for template in sorted(rule.routes - known):
            near = get_close_matches(template, sorted(known), _SHOWN, 0.4) or sorted(known)[:_SHOWN]
            _log.warning(
                "%s is about the route %s, which the app does not have, so it limits nothing there; the app has %s",
                rule.called,
                template,
                ", ".join(near) + (", ..." if len(known) > len(near) else ""),
            )

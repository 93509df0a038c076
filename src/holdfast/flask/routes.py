"""Which route of a Flask app a request will come to, for middleware that stand in front of it."""

from __future__ import annotations

from typing import Any

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect, Rule


class RouteFinder:
    """Finds the route of a request to an app among those that the app has by then."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def __call__(self, environ: Any) -> str | None:
        """Return the template of a request's route, such as ``"/items/<int:item_id>"``.

        Blueprints, hosts and subdomains are included. It returns None where no view would run: an unknown path, a
        method that the route does not take, a redirection to another path.
        """
        app = self._app
        try:
            adapter = app.create_url_adapter(app.request_class(environ, populate_request=False))
            if adapter is None:
                return None
            rule, _ = adapter.match(return_rule=True)
        except (HTTPException, RequestRedirect):
            return None
        return _template_of(rule)

    def templates(self) -> frozenset[str]:
        """Return those of all routes."""
        return frozenset(map(_template_of, self._app.url_map.iter_rules()))


def _template_of(rule: Rule) -> str:
    return f"{rule.subdomain or rule.host or ''}{rule.rule}"

"""Which route of a Flask app a request will come to, for middleware that stand in front of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect


def route_finder(app: Flask) -> Callable[[Any], str | None]:
    """Return a function from an environ to the template of its route, such as ``"/items/<int:item_id>"``.

    Routes are those that the app has when it is asked, blueprints, hosts and subdomains included. It returns None where
    no view would run: an unknown path, a method that the route does not take, a redirection to another path.
    """

    def find(environ: Any) -> str | None:
        try:
            adapter = app.create_url_adapter(app.request_class(environ, populate_request=False))
            if adapter is None:
                return None
            rule, _ = adapter.match(return_rule=True)
        except (HTTPException, RequestRedirect):
            return None
        return f"{rule.subdomain or rule.host or ''}{rule.rule}"

    return find

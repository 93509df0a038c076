"""The catalogue as a Flask app: blocking views that call the cached reports."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Response, jsonify, redirect
from werkzeug.wrappers import Response as AnyResponse

from holdfast.demo.reports import Reports
from holdfast.errors import BackendError


def create_app(reports: Reports, index: Callable[[], str]) -> Flask:
    """Return the app.

    Args:
        reports: the cached reports.
        index: renders the index page.
    """
    app = Flask("holdfast.demo")

    @app.get("/")
    def start() -> str:
        return index()

    @app.get("/best-sellers/<category>")
    def best_sellers(category: str) -> Response:
        return jsonify(reports.best_sellers(category))

    @app.get("/revenue/<int:year>")
    def revenue(year: int) -> Response:
        return jsonify(reports.revenue(year))

    @app.get("/also-bought/<int:product_id>")
    def also_bought(product_id: int) -> Response:
        return jsonify(reports.also_bought(product_id))

    @app.get("/stock")
    def stock() -> Response:
        return jsonify(reports.stock())

    @app.post("/forget")
    def forget() -> AnyResponse:
        reports.forget()
        return redirect("/", 303)

    @app.errorhandler(BackendError)
    def cannot_forget(error: BackendError) -> tuple[str, int]:
        # Reports go on without the cache; an invalidation must not pretend that it was done.
        return f"{error}\n", 503

    return app

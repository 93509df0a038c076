"""A Flask app with a cached report.

    python examples/flask_app.py                 asks the app a few times and prints what happened
    flask --app examples/flask_app.py run        serves it

It uses the embedded backend; with HOLDFAST_URL=redis://localhost:6379/0 it uses a real server.
"""

from __future__ import annotations

import atexit
import time
from dataclasses import dataclass

from flask import Flask, Response, jsonify

from holdfast import Layer, cached, entries

layer = Layer.from_env()
atexit.register(layer.close)
app = Flask(__name__)


@dataclass(frozen=True)
class BestSeller:
    name: str
    sold: int


@cached("5m", key="best-sellers:{category}", layer=layer)
def find_best_sellers(category: str) -> list[BestSeller]:
    print(f"  the database is asked for {category}")
    time.sleep(0.2)  # a slow query
    return [BestSeller("Teapot", 31), BestSeller("Kettle", 12)]


@app.get("/best-sellers/<category>")
def best_sellers(category: str) -> Response:
    return jsonify(find_best_sellers(category))


@app.delete("/best-sellers/<category>")
def forget(category: str) -> dict[str, bool]:
    return {"forgotten": entries(find_best_sellers).invalidate(category)}


def main() -> None:
    client = app.test_client()
    for method in ("GET", "GET", "GET", "DELETE", "GET", "DELETE"):
        began = time.perf_counter()
        answer = client.open("/best-sellers/kitchen", method=method)
        took = (time.perf_counter() - began) * 1000
        print(f"{method} {answer.status_code} in {took:.0f} ms: {answer.get_json()}")
    stats = layer.stats()
    print(f"hits: {stats.hits}, misses: {stats.misses}")


if __name__ == "__main__":
    main()

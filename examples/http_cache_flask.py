"""A Flask app behind an HTTP cache.

    python examples/http_cache_flask.py                  asks the app a few times and prints what happened
    flask --app examples/http_cache_flask.py run         serves it

It uses the embedded backend; with HOLDFAST_URL=redis://localhost:6379/0 it uses a real server.
"""

from __future__ import annotations

from flask import Flask, abort, request

from holdfast import Layer, cache_response
from holdfast.wsgi import CacheMiddleware

layer = Layer.from_env()
app = Flask(__name__)
app.wsgi_app = CacheMiddleware(app.wsgi_app, layer=layer, namespace="flask-example")  # type: ignore[method-assign]
names = {7: "Teapot"}


@app.get("/products/<int:product_id>")
@cache_response("5m", vary=["Accept-Language"], tags=["product:{product_id}"], etag=True)
def show_product(product_id: int) -> dict[str, str | None]:
    print(f"  the app is asked for {product_id}")
    return {"name": names.get(product_id) or abort(404), "lang": request.accept_languages.best}


@app.put("/products/<int:product_id>")
def change_product(product_id: int) -> dict[str, bool]:
    names[product_id] = request.get_json()["name"]
    return {"changed": True}  # and what was stored of this URL is gone


def main() -> None:
    browser = app.test_client()

    def ask(lang: str, etag: str = "") -> str:
        response = browser.get("/products/7", headers={"Accept-Language": lang, "If-None-Match": etag})
        how = response.headers["Cache-Status"].split(";ttl")[0]
        print(f"GET {lang} {response.status_code} {how} {response.text.strip() or 'no body'}")
        return response.headers["ETag"]

    ask("en")
    ask("de")
    etag = ask("en")
    ask("en", etag)
    browser.put("/products/7", json={"name": "Big teapot"})
    ask("en", etag)
    layer.cache.invalidate_tags("product:7")
    ask("en")
    layer.http_cache.purge("http://localhost/products/7", namespace="flask-example")
    layer.close()


if __name__ == "__main__":
    main()

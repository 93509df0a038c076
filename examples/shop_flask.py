"""A shop in Flask: a cache, limits, sessions, the last teapot sold once, and orders that are made once.

    flask --app examples/shop_flask.py run

It uses the embedded backend. For several processes set HOLDFAST_URL=redis://localhost:6379/0, and a file for the data,
such as SHOP_DATABASE=shop.db.
"""

from __future__ import annotations

from contextlib import suppress

import shop_catalogue as catalogue
from flask import Flask, Response, abort, jsonify, request
from shop_catalogue import Product, SoldOut

from holdfast import BackendError, cache_response, cached
from holdfast.flask import Holdfast, session
from holdfast.web import LimitRule

app = Flask(__name__)
app.config.update(
    HOLDFAST_SESSIONS=True,
    HOLDFAST_HTTP_CACHE=True,
    HOLDFAST_IDEMPOTENCY={"required": ["/orders"]},
    HOLDFAST_LIMITS={
        "quota": "120/minute; name=all",  # by the client's address
        "rules": [LimitRule("5/minute", paths=["/login"], methods=["POST"], name="login")],
    },
)
layer = Holdfast(app).layer  # the default one, too: decorators need no layer=


# The catalogue: one product from the cache, and the page of all from the HTTP cache.


@cached("5m", key="product:{name}", tags=["product:{name}"])
def load_product(name: str) -> Product | None:
    return catalogue.find_product(name)


def forget(*names: str) -> None:
    """Drop what is stored of some products, after the database has changed."""
    with suppress(BackendError):  # what is done is done: without Redis the old ones last for five minutes at most
        layer.cache.invalidate_tags("catalogue", *(f"product:{name}" for name in names))


@app.get("/")
@cache_response(0, shared="5m", tags=["catalogue"])  # browsers ask each time, and are answered from Redis
def show_catalogue() -> Response:
    return jsonify(catalogue.list_products())


@app.get("/products/<name>")
def show_product(name: str) -> Response:
    return jsonify(load_product(name) or abort(404))


@app.put("/products/<name>/price")
def set_price(name: str) -> dict[str, int]:  # yours is for admins
    price = int(sent("price"))
    if not catalogue.set_price(name, price):
        abort(404)
    forget(name)
    return {"price": price}


# The cart: in the session.


@app.get("/cart")
def show_cart() -> Response:
    return jsonify(session.get("cart", {}))


@app.post("/cart/<name>")
def add_to_cart(name: str) -> Response:
    if load_product(name) is None:
        abort(404)
    # It is called again with what another request has stored meanwhile, so that no piece is lost.
    return jsonify(session.change("cart", lambda cart: catalogue.with_one(cart, name), {}))


# Orders: one at a time for each product, and one for each Idempotency-Key.


@app.post("/orders")
def order() -> tuple[Response, int]:
    cart: dict[str, int] = session.get("cart") or abort(400, "The cart is empty.")
    with layer.multi_lock([f"stock:{name}" for name in cart], wait="10s"):
        try:
            made = catalogue.place_order(session.user, cart)
        except SoldOut as error:
            abort(409, str(error))
    forget(*cart)
    session.change("cart", lambda now: catalogue.without(now, cart))
    return jsonify(made), 201


# Who it is, and on which devices.


@app.post("/login")
def log_in() -> dict[str, str]:
    user, password = sent("user"), sent("password")
    if not catalogue.check_password(user, password):
        abort(403)
    session.log_in(user)  # with a new cookie; the cart stays
    return {"user": user}


@app.post("/logout")
def log_out() -> tuple[str, int]:
    session.log_out()
    return "", 204


@app.get("/devices")
def show_devices() -> Response:
    found = layer.sessions.list(session.user or abort(401))
    return jsonify([{"seen": each.seen, "this": each.handle == session.handle} for each in found])


@app.delete("/devices")
def log_out_everywhere() -> dict[str, int]:
    return {"ended": layer.sessions.revoke_all(session.user or abort(401))}


def sent(name: str) -> str:
    """Return a field of the JSON object that was sent."""
    return str(request.get_json().get(name) or abort(400))

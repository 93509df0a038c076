"""A shop in FastAPI: a cache, limits, sessions, the last teapot sold once, and orders that are made once.

    uvicorn --app-dir examples shop_fastapi:app

It uses the embedded backend. For several processes set HOLDFAST_URL=redis://localhost:6379/0, and a file for the data,
such as SHOP_DATABASE=shop.db.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, NoReturn

import shop_catalogue as catalogue
from fastapi import Body, Depends, FastAPI, HTTPException
from fastapi.concurrency import run_in_threadpool
from shop_catalogue import Order, Product, SoldOut
from starlette.middleware import Middleware

from holdfast import BackendError, Layer, Session, cache_response, cached
from holdfast.asgi import CacheMiddleware, IdempotencyMiddleware, RateLimitMiddleware, SessionMiddleware
from holdfast.fastapi import install, lifespan, limit, session_of

layer = Layer.from_env()
app = FastAPI(
    lifespan=lifespan(layer),
    middleware=[  # from the outside to the inside
        Middleware(RateLimitMiddleware, layer=layer, quota="120/minute; name=all"),  # by the client's address
        Middleware(CacheMiddleware, layer=layer),
        Middleware(SessionMiddleware, layer=layer),
        Middleware(IdempotencyMiddleware, layer=layer, required=["/orders"]),
    ],
)
install(app, layer)  # refusals of limits and locks become problem details, and OpenAPI shows them


def user_of(session: Visitor) -> str:
    return session.user or _refuse(401, "Log in first.")


Visitor = Annotated[Session, Depends(session_of)]
User = Annotated[str, Depends(user_of)]
Sent = Annotated[str, Body()]


# The catalogue: one product from the cache, and the page of all from the HTTP cache.


@cached("5m", key="product:{name}", tags=["product:{name}"], layer=layer)
async def load_product(name: str) -> Product | None:
    return await run_in_threadpool(catalogue.find_product, name)


async def forget(*names: str) -> None:
    """Drop what is stored of some products, after the database has changed."""
    with suppress(BackendError):  # what is done is done: without Redis the old ones last for five minutes at most
        await layer.cache.ainvalidate_tags("catalogue", *(f"product:{name}" for name in names))


@app.get("/")
@cache_response(0, shared="5m", tags=["catalogue"])  # browsers ask each time, and are answered from Redis
async def show_catalogue() -> list[Product]:
    return await run_in_threadpool(catalogue.list_products)


@app.get("/products/{name}")
async def show_product(name: str) -> Product:
    return await load_product(name) or _refuse(404, "There is no such product.")


@app.put("/products/{name}/price")
async def set_price(name: str, price: Annotated[int, Body(embed=True)]) -> dict[str, int]:  # yours is for admins
    if not await run_in_threadpool(catalogue.set_price, name, price):
        _refuse(404, "There is no such product.")
    await forget(name)
    return {"price": price}


# The cart: in the session.


@app.get("/cart")
async def show_cart(session: Visitor) -> dict[str, int]:
    cart: dict[str, int] = session.get("cart", {})
    return cart


@app.post("/cart/{name}")
async def add_to_cart(name: str, session: Visitor) -> dict[str, int]:
    if await load_product(name) is None:
        _refuse(404, "There is no such product.")
    # It is called again with what another request has stored meanwhile, so that no piece is lost.
    cart: dict[str, int] = session.change("cart", lambda cart: catalogue.with_one(cart, name), {})
    return cart


# Orders: one at a time for each product, and one for each Idempotency-Key.


@app.post("/orders", status_code=201)
async def order(session: Visitor) -> Order:
    cart: dict[str, int] = session.get("cart") or _refuse(400, "The cart is empty.")
    async with layer.multi_lock([f"stock:{name}" for name in cart], wait="10s"):
        try:
            made = await run_in_threadpool(catalogue.place_order, session.user, cart)
        except SoldOut as error:
            _refuse(409, str(error))
    await forget(*cart)
    session.change("cart", lambda now: catalogue.without(now, cart))
    return made


# Who it is, and on which devices.


@app.post("/login", dependencies=[Depends(limit("5/minute; name=login"))])
async def log_in(user: Sent, password: Sent, session: Visitor) -> dict[str, str]:
    if not catalogue.check_password(user, password):
        _refuse(403, "No such user, or another password.")
    session.log_in(user)  # with a new cookie; the cart stays
    return {"user": user}


@app.post("/logout", status_code=204)
async def log_out(session: Visitor) -> None:
    session.log_out()


@app.get("/devices")
async def show_devices(user: User, session: Visitor) -> list[dict[str, Any]]:
    found = await layer.sessions.alist(user)
    return [{"seen": each.seen, "this": each.handle == session.handle} for each in found]


@app.delete("/devices")
async def log_out_everywhere(user: User) -> dict[str, int]:
    return {"ended": await layer.sessions.arevoke_all(user)}


def _refuse(status: int, why: str) -> NoReturn:
    raise HTTPException(status, why)

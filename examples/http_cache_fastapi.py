"""A FastAPI app behind an HTTP cache: one call for a crowd, and what is private stays so.

    python examples/http_cache_fastapi.py                        asks the app a few times and prints what happened
    uvicorn --app-dir examples http_cache_fastapi:app            serves it

It uses the embedded backend; with HOLDFAST_URL=redis://localhost:6379/0 it uses a real server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

from holdfast import Layer, cache_response
from holdfast.asgi import CacheMiddleware

layer = Layer.from_env()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with layer:  # closed when the app shuts down
        yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(CacheMiddleware, layer=layer, namespace="fastapi-example", private=["/account"], etag=True)


class Product(BaseModel):
    name: str
    price: float


@app.get("/products/{product_id}")
@cache_response("5m", tags=["product:{product_id}"], stale_while_revalidate="1h")
async def read_product(product_id: int) -> Product:
    print(f"  the app is asked for {product_id}")
    await asyncio.sleep(0.1)  # a slow query
    return Product(name="Teapot", price=19.9)


@app.get("/account")
@cache_response(private=True)
async def read_account() -> dict[str, str]:
    return {"name": "Ada"}


async def main() -> None:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app")
    async with app.router.lifespan_context(app), client:
        crowd = await asyncio.gather(*[client.get("/products/7") for _ in range(20)])
        print(f"a crowd: {len(crowd)} answers, and {len({each.text for each in crowd})} when they are compared")
        first = await client.get("/products/7")
        print(f"later: {first.headers['Cache-Status'].split(';ttl')[0]}: {first.json()}")
        again = await client.get("/products/7", headers={"If-None-Match": first.headers["ETag"]})
        print(f"with its ETag: {again.status_code}")
        part = await client.get("/products/7", headers={"Range": "bytes=0-8"})
        print(f"a part: {part.status_code} {part.text}")
        await layer.cache.ainvalidate_tags("product:7")
        print(f"invalidated: {(await client.get('/products/7')).headers['Cache-Status']}")
        print(f"private: {(await client.get('/account')).headers.get('Cache-Status')}")
        await layer.http_cache.apurge("http://app/products/7", namespace="fastapi-example")


if __name__ == "__main__":
    asyncio.run(main())

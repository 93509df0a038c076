"""A FastAPI app with a cached report.

    python examples/fastapi_app.py                       asks the app a few times and prints what happened
    uvicorn --app-dir examples fastapi_app:app           serves it

It uses the embedded backend; with HOLDFAST_URL=redis://localhost:6379/0 it uses a real server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

from holdfast import Layer, cached, entries

layer = Layer.from_env()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with layer:  # closed when the app shuts down
        yield


app = FastAPI(lifespan=lifespan)


class BestSeller(BaseModel):
    name: str
    sold: int


@cached("5m", key="best-sellers:{category}", layer=layer)
async def find_best_sellers(category: str) -> list[BestSeller]:
    print(f"  the database is asked for {category}")
    await asyncio.sleep(0.2)  # a slow query
    return [BestSeller(name="Teapot", sold=31), BestSeller(name="Kettle", sold=12)]


@app.get("/best-sellers/{category}")
async def best_sellers(category: str) -> list[BestSeller]:
    return await find_best_sellers(category)


@app.delete("/best-sellers/{category}")
async def forget(category: str) -> dict[str, bool]:
    return {"forgotten": await entries(find_best_sellers).ainvalidate(category)}


async def main() -> None:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app")
    async with app.router.lifespan_context(app), client:
        for method in ("GET", "GET", "GET", "DELETE", "GET", "DELETE"):
            began = time.perf_counter()
            answer = await client.request(method, "/best-sellers/kitchen")
            took = (time.perf_counter() - began) * 1000
            print(f"{method} {answer.status_code} in {took:.0f} ms: {answer.json()}")
    stats = layer.stats()
    print(f"hits: {stats.hits}, misses: {stats.misses}")


if __name__ == "__main__":
    asyncio.run(main())

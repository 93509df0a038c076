"""A Starlette app with a cached report.

    python examples/starlette_app.py                     asks the app a few times and prints what happened
    uvicorn --app-dir examples starlette_app:app         serves it

It uses the embedded backend; with HOLDFAST_URL=redis://localhost:6379/0 it uses a real server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from holdfast import Layer, cached, entries

layer = Layer.from_env()


class BestSeller(TypedDict):
    name: str
    sold: int


@cached("5m", key="best-sellers:{category}", layer=layer)
async def find_best_sellers(category: str) -> list[BestSeller]:
    print(f"  the database is asked for {category}")
    await asyncio.sleep(0.2)  # a slow query
    return [{"name": "Teapot", "sold": 31}, {"name": "Kettle", "sold": 12}]


async def best_sellers(request: Request) -> JSONResponse:
    return JSONResponse(await find_best_sellers(request.path_params["category"]))


async def forget(request: Request) -> JSONResponse:
    return JSONResponse({"forgotten": await entries(find_best_sellers).ainvalidate(request.path_params["category"])})


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    async with layer:  # closed when the app shuts down
        yield


path = "/best-sellers/{category}"
routes = [Route(path, best_sellers), Route(path, forget, methods=["DELETE"])]
app = Starlette(routes=routes, lifespan=lifespan)


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

"""The catalogue as a FastAPI app: async views that await the cached reports."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse

from holdfast.demo.catalogue import AlsoBought, BestSeller, Month, Stock
from holdfast.demo.reports import AsyncReports
from holdfast.errors import BackendError
from holdfast.layer import Layer


def create_app(reports: AsyncReports, layer: Layer, index: Callable[[], str]) -> FastAPI:
    """Return the app, which closes the layer when it shuts down.

    Args:
        reports: the cached reports.
        layer: the layer that the reports use.
        index: renders the index page.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with layer:
            yield

    app = FastAPI(title="holdfast demo", lifespan=lifespan)

    @app.get("/", response_class=HTMLResponse)
    async def start() -> str:
        return index()

    @app.get("/best-sellers/{category}")
    async def best_sellers(category: str) -> list[BestSeller]:
        return await reports.best_sellers(category)

    @app.get("/revenue/{year}")
    async def revenue(year: int) -> list[Month]:
        return await reports.revenue(year)

    @app.get("/also-bought/{product_id}")
    async def also_bought(product_id: int) -> list[AlsoBought]:
        return await reports.also_bought(product_id)

    @app.get("/stock")
    async def stock() -> list[Stock]:
        return await reports.stock()

    @app.post("/forget")
    async def forget() -> RedirectResponse:
        await reports.forget()
        return RedirectResponse("/", 303)

    @app.exception_handler(BackendError)
    async def cannot_forget(_: Request, error: Exception) -> PlainTextResponse:
        # Reports go on without the cache; an invalidation must not pretend that it was done.
        return PlainTextResponse(f"{error}\n", 503)

    return app

"""The cached reports: the part of the demo that an application would contain.

Both colours use the same key templates and types, so either reads what the other has stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from holdfast.demo.catalogue import AlsoBought, BestSeller, Catalogue, Month, Stock
from holdfast.entries import entries
from holdfast.layer import Layer

TTL: Final = "10m"

BEST_SELLERS: Final = "best-sellers:{category}"
REVENUE: Final = "revenue:{year}"
ALSO_BOUGHT: Final = "also-bought:{product_id}"
STOCK: Final = "stock"

_CATEGORIES: Final = ("books", "garden", "music")
_YEARS: Final = (2024, 2025)
_PRODUCTS: Final = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Page:
    """One report that the app offers."""

    path: str
    title: str


PAGES: Final = (
    *(Page(f"/best-sellers/{category}", f"Best sellers: {category}") for category in _CATEGORIES),
    *(Page(f"/revenue/{year}", f"Revenue by month: {year}") for year in _YEARS),
    *(Page(f"/also-bought/{product}", f"Also bought with product {product}") for product in _PRODUCTS),
    Page("/stock", "Value in stock by category"),
)


@dataclass(frozen=True, slots=True)
class Reports:
    """The reports for blocking code."""

    best_sellers: Callable[[str], list[BestSeller]]
    revenue: Callable[[int], list[Month]]
    also_bought: Callable[[int], list[AlsoBought]]
    stock: Callable[[], list[Stock]]

    def forget(self) -> int:
        """Invalidate every report of `PAGES`; return how many were stored."""
        existed = [entries(self.best_sellers).invalidate(category) for category in _CATEGORIES]
        existed += [entries(self.revenue).invalidate(year) for year in _YEARS]
        existed += [entries(self.also_bought).invalidate(product) for product in _PRODUCTS]
        return sum([*existed, entries(self.stock).invalidate()])


@dataclass(frozen=True, slots=True)
class AsyncReports:
    """The reports for asyncio code."""

    best_sellers: Callable[[str], Awaitable[list[BestSeller]]]
    revenue: Callable[[int], Awaitable[list[Month]]]
    also_bought: Callable[[int], Awaitable[list[AlsoBought]]]
    stock: Callable[[], Awaitable[list[Stock]]]

    async def forget(self) -> int:
        """Invalidate every report of `PAGES`; return how many were stored."""
        existed = [await entries(self.best_sellers).ainvalidate(category) for category in _CATEGORIES]
        existed += [await entries(self.revenue).ainvalidate(year) for year in _YEARS]
        existed += [await entries(self.also_bought).ainvalidate(product) for product in _PRODUCTS]
        return sum([*existed, await entries(self.stock).ainvalidate()])


def cached_reports(catalogue: Catalogue, layer: Layer) -> Reports:
    """Return the reports of a catalogue, cached in a layer, for blocking code."""

    @layer.cached(TTL, key=BEST_SELLERS)
    def best_sellers(category: str) -> list[BestSeller]:
        return catalogue.best_sellers(category)

    @layer.cached(TTL, key=REVENUE)
    def revenue(year: int) -> list[Month]:
        return catalogue.revenue(year)

    @layer.cached(TTL, key=ALSO_BOUGHT)
    def also_bought(product_id: int) -> list[AlsoBought]:
        return catalogue.also_bought(product_id)

    @layer.cached(TTL, key=STOCK)
    def stock() -> list[Stock]:
        return catalogue.stock()

    return Reports(best_sellers, revenue, also_bought, stock)


def async_cached_reports(catalogue: Catalogue, layer: Layer) -> AsyncReports:
    """Return the reports of a catalogue, cached in a layer, for asyncio code.

    SQLite has no asyncio interface, so a query runs in a thread; a hit needs none.
    """

    @layer.cached(TTL, key=BEST_SELLERS)
    async def best_sellers(category: str) -> list[BestSeller]:
        return await asyncio.to_thread(catalogue.best_sellers, category)

    @layer.cached(TTL, key=REVENUE)
    async def revenue(year: int) -> list[Month]:
        return await asyncio.to_thread(catalogue.revenue, year)

    @layer.cached(TTL, key=ALSO_BOUGHT)
    async def also_bought(product_id: int) -> list[AlsoBought]:
        return await asyncio.to_thread(catalogue.also_bought, product_id)

    @layer.cached(TTL, key=STOCK)
    async def stock() -> list[Stock]:
        return await asyncio.to_thread(catalogue.stock)

    return AsyncReports(best_sellers, revenue, also_bought, stock)

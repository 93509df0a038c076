"""The reports of the shop: plain functions over SQLite, slow because they read the orders. No cache here.

Money is `Decimal` and reports are lists of dataclasses, so that the demo also shows what comes back from the cache: the
same types.
"""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from holdfast.demo.database import connect

_BEST_SELLERS: Final = """
    SELECT p.id, p.name, sum(o.quantity) AS sold, sum(o.quantity * o.paid_cents)
    FROM orders o JOIN products p ON p.id = o.product_id
    WHERE p.category = ?
    GROUP BY p.id ORDER BY sold DESC, p.id LIMIT 10
"""
_REVENUE: Final = """
    SELECT substr(day, 1, 7) AS month, count(*), count(DISTINCT customer_id), sum(quantity * paid_cents)
    FROM orders
    WHERE day BETWEEN ? AND ?
    GROUP BY month ORDER BY month
"""
_ALSO_BOUGHT: Final = """
    SELECT p.id, p.name, count(DISTINCT o.customer_id) AS customers
    FROM orders o JOIN products p ON p.id = o.product_id
    WHERE o.product_id <> ? AND o.customer_id IN (SELECT customer_id FROM orders WHERE product_id = ?)
    GROUP BY p.id ORDER BY customers DESC, p.id LIMIT 10
"""
_STOCK: Final = """
    SELECT p.category, count(*), sum(p.stock), sum(p.stock * p.price_cents), sum(coalesce(s.sold, 0))
    FROM products p
    LEFT JOIN (SELECT product_id, sum(quantity) AS sold FROM orders GROUP BY product_id) s ON s.product_id = p.id
    GROUP BY p.category ORDER BY p.category
"""


@dataclass(frozen=True, slots=True)
class BestSeller:
    """A product that sells well in its category."""

    product_id: int
    name: str
    sold: int
    revenue: Decimal


@dataclass(frozen=True, slots=True)
class Month:
    """What one month brought."""

    month: str
    orders: int
    customers: int
    revenue: Decimal


@dataclass(frozen=True, slots=True)
class AlsoBought:
    """A product that customers of another one bought too."""

    product_id: int
    name: str
    customers: int


@dataclass(frozen=True, slots=True)
class Stock:
    """What is in store of one category, and how much of it was ever sold."""

    category: str
    products: int
    items: int
    value: Decimal
    sold: int


class Catalogue:
    """The reports of one database, counting the queries that SQLite really runs.

    Any thread may call it: each query opens a connection of its own, which costs nothing beside a report.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._queries = 0

    @property
    def queries(self) -> int:
        """How many queries SQLite has run for this catalogue."""
        return self._queries

    def best_sellers(self, category: str) -> list[BestSeller]:
        """Return the ten products of a category that sold most."""
        found = self._ask(_BEST_SELLERS, category)
        return [BestSeller(number, name, sold, _money(cents)) for number, name, sold, cents in found]

    def revenue(self, year: int) -> list[Month]:
        """Return orders, customers and revenue by month of a year."""
        found = self._ask(_REVENUE, f"{year:04}-01-01", f"{year:04}-12-31")
        return [Month(month, orders, customers, _money(cents)) for month, orders, customers, cents in found]

    def also_bought(self, product_id: int) -> list[AlsoBought]:
        """Return the ten products that most customers of a product bought too."""
        return [AlsoBought(*row) for row in self._ask(_ALSO_BOUGHT, product_id, product_id)]

    def stock(self) -> list[Stock]:
        """Return the value in store by category."""
        found = self._ask(_STOCK)
        return [Stock(category, count, items, _money(cents), sold) for category, count, items, cents, sold in found]

    def _ask(self, query: str, *values: object) -> list[Any]:
        with self._lock:
            self._queries += 1
        with closing(connect(self._path)) as connection:
            return connection.execute(query, values).fetchall()


def _money(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)

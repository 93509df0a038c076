"""What the three shops sell, and by which rules. There is nothing of holdfast here: it stands for your own code.

The data are in SQLite: in memory, or in the file that SHOP_DATABASE names, which several processes may share.
"""

from __future__ import annotations

import hmac
import json
import os
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

_TABLES = """
CREATE TABLE IF NOT EXISTS product (name TEXT PRIMARY KEY, price INTEGER NOT NULL, stock INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS orders (number INTEGER PRIMARY KEY, user TEXT, items TEXT NOT NULL, total INTEGER NOT NULL);
INSERT OR IGNORE INTO product VALUES ('teapot', 1990, 1), ('kettle', 2990, 12), ('cup', 450, 100);
"""
_PASSWORDS = {"ada": "lovelace", "grace": "hopper"}  # yours are hashed


class SoldOut(Exception):  # noqa: N818 - says what happened
    """There is not enough of a product."""


@dataclass(frozen=True)
class Product:
    name: str
    price: int
    """In cents."""
    stock: int


@dataclass(frozen=True)
class Order:
    number: int
    items: dict[str, int]
    """How many of each product."""
    total: int
    """In cents."""


@cache
def _database() -> sqlite3.Connection:
    path = os.environ.get("SHOP_DATABASE", ":memory:")
    database = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    database.executescript(_TABLES)
    return database


def list_products() -> list[Product]:
    """Return all products."""
    return [Product(*row) for row in _database().execute("SELECT * FROM product ORDER BY name").fetchall()]


def find_product(name: str) -> Product | None:
    """Return a product by its name."""
    row = _database().execute("SELECT * FROM product WHERE name = ?", (name,)).fetchone()
    return row and Product(*row)


def set_price(name: str, price: int) -> bool:
    """Change a price, and say whether there is such a product."""
    return _database().execute("UPDATE product SET price = ? WHERE name = ?", (price, name)).rowcount > 0


def with_one(cart: Mapping[str, int], name: str) -> dict[str, int]:
    """Return a cart with one more piece of a product."""
    return {**cart, name: cart.get(name, 0) + 1}


def without(cart: Mapping[str, int], sold: Mapping[str, int]) -> dict[str, int]:
    """Return what is left of a cart when some of it is sold."""
    left = {name: count - sold.get(name, 0) for name, count in cart.items()}
    return {name: count for name, count in left.items() if count > 0}


def place_order(user: str | None, items: Mapping[str, int]) -> Order:
    """Sell some products. Of two calls at once that sell the same one, both may find the last piece of it.

    Raises:
        SoldOut: there is not enough of one of them.
    """
    products = [find_product(name) for name in items]
    found = [product for product in products if product and product.stock >= items[product.name]]
    if len(found) < len(items):
        missing = set(items) - {product.name for product in found}
        raise SoldOut(f"Too little is left of: {', '.join(sorted(missing))}.")
    time.sleep(0.02)  # the customer's bank is asked
    for product in found:
        left = product.stock - items[product.name]
        _database().execute("UPDATE product SET stock = ? WHERE name = ?", (left, product.name))
    total = sum(product.price * items[product.name] for product in found)
    row = (user, json.dumps(items), total)
    number = _database().execute("INSERT INTO orders (user, items, total) VALUES (?, ?, ?)", row).lastrowid
    return Order(number or 0, dict(items), total)


def check_password(user: str, password: str) -> bool:
    """Say whether somebody is who they say they are."""
    return hmac.compare_digest(_PASSWORDS.get(user, "").encode(), password.encode()) and user in _PASSWORDS

"""The products and orders of the made-up shop: the same rows from the same numbers, on every machine. No I/O.

Only `Random.random` is used: it is the one method whose results Python promises to keep between versions.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import Final, NamedTuple

CATEGORIES: Final = (
    "books",
    "cameras",
    "clothing",
    "furniture",
    "games",
    "garden",
    "kitchen",
    "lighting",
    "music",
    "shoes",
    "sports",
    "tools",
)
YEARS: Final = (2023, 2024, 2025)

_LOOKS: Final = ("Blue", "Classic", "Compact", "Folding", "Green", "Large", "Light", "Oak", "Red", "Small", "Solid")
_THINGS: Final = {
    "books": ("Atlas", "Cookbook", "Diary", "Novel"),
    "cameras": ("Camera", "Lens", "Strap", "Tripod"),
    "clothing": ("Coat", "Jumper", "Scarf", "Shirt"),
    "furniture": ("Chair", "Desk", "Shelf", "Table"),
    "games": ("Chess Set", "Jigsaw", "Playing Cards", "Quiz"),
    "garden": ("Hose", "Lawn Mower", "Planter", "Rake"),
    "kitchen": ("Kettle", "Knife", "Pan", "Teapot"),
    "lighting": ("Candle", "Ceiling Light", "Lamp", "Lantern"),
    "music": ("Drum", "Flute", "Guitar", "Record"),
    "shoes": ("Boots", "Sandals", "Slippers", "Trainers"),
    "sports": ("Ball", "Bicycle", "Racket", "Skis"),
    "tools": ("Drill", "Hammer", "Saw", "Spanner"),
}
_CUSTOMERS_PER_ORDER: Final = 0.1
_FIRST_DAY: Final = date(YEARS[0], 1, 1)
_DAYS: Final = (date(YEARS[-1], 12, 31) - _FIRST_DAY).days + 1


class Product(NamedTuple):
    """A row of the table `products`."""

    id: int
    name: str
    category: str
    price_cents: int
    stock: int


class Order(NamedTuple):
    """A row of the table `orders`: one product bought by one customer on one day."""

    id: int
    customer_id: int
    product_id: int
    quantity: int
    paid_cents: int
    day: str


def products(count: int) -> Iterator[Product]:
    """Yield `count` products; each category has its share."""
    draw = Random(f"products {count}").random  # noqa: S311 - a made-up shop needs the same chance each time, not secrecy
    for number in range(1, count + 1):
        category = CATEGORIES[number % len(CATEGORIES)]
        things = _THINGS[category]
        name = f"{_LOOKS[int(draw() * len(_LOOKS))]} {things[int(draw() * len(things))]} {number}"
        price = 199 + int(draw() * draw() * 40_000)
        yield Product(number, name, category, price, int(draw() * 200))


def orders(count: int, bought: list[Product]) -> Iterator[Order]:
    """Yield `count` orders of these products, oldest first.

    A few products sell most (the lowest numbers), a customer likes one category best, and the shop grows: so that best
    sellers, "also bought" and revenue by month have something to show.
    """
    draw = Random(f"orders {count}").random  # noqa: S311 - as above
    days = [(_FIRST_DAY + timedelta(number)).isoformat() for number in range(_DAYS)]
    customers = max(1, int(count * _CUSTOMERS_PER_ORDER))
    kinds = len(CATEGORIES)
    last = len(bought) - 1
    for number in range(1, count + 1):
        customer = 1 + int(draw() * customers)
        place = int(draw() ** 2 * len(bought))
        if draw() < 0.5:
            place = min(last, place - place % kinds + customer % kinds)
        product = bought[place]
        quantity = 1 + int(draw() ** 3 * 4)
        day = days[int((number / (count + 1)) ** 0.8 * _DAYS)]
        yield Order(number, customer, product.id, quantity, product.price_cents, day)

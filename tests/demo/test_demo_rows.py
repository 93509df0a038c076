from __future__ import annotations

from collections import Counter
from datetime import date
from zlib import crc32

from holdfast.demo.rows import CATEGORIES, YEARS, orders, products


def test_the_same_numbers_give_the_same_rows_on_every_machine() -> None:
    """The sums below were taken once; another version of Python, or another machine, makes the same shop."""
    bought = list(products(1000))
    assert crc32(repr([tuple(row) for row in bought]).encode()) == 2760176983
    assert crc32(repr([tuple(row) for row in orders(5000, bought)]).encode()) == 1764894882


def test_products_are_numbered_and_every_category_has_its_share() -> None:
    """Reports by category have something to show, however small the shop is."""
    made = list(products(120))
    assert [product.id for product in made] == list(range(1, 121))
    assert Counter(product.category for product in made) == dict.fromkeys(CATEGORIES, 10)


def test_orders_are_of_products_that_exist_and_of_days_in_the_years_of_the_reports() -> None:
    """No order is lost in a join, and each year has orders."""
    bought = list(products(13))
    made = list(orders(2000, bought))
    assert [order.id for order in made] == list(range(1, 2001))
    assert {order.product_id for order in made} <= {product.id for product in bought}
    assert {date.fromisoformat(order.day).year for order in made} == set(YEARS)
    assert [order.day for order in made] == sorted(order.day for order in made)
    assert {order.quantity for order in made} <= {1, 2, 3, 4}


def test_a_single_order_is_possible() -> None:
    """The smallest shop that the command line allows can be made."""
    assert len(list(orders(1, list(products(12))))) == 1

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from holdfast.demo.catalogue import Catalogue
from holdfast.demo.rows import CATEGORIES, orders, products

PRODUCTS = list(products(1200))
ORDERS = list(orders(3000, PRODUCTS))


def test_best_sellers_are_the_products_of_the_category_that_sold_most(catalogue: Catalogue) -> None:
    """SQL and a plain count over the same rows agree."""
    books = {product.id for product in PRODUCTS if product.category == "books"}
    sold = Counter[int]()
    for order in ORDERS:
        if order.product_id in books:
            sold[order.product_id] += order.quantity
    found = catalogue.best_sellers("books")
    assert [report.sold for report in found] == sorted(sold.values(), reverse=True)[:10]
    assert all(report.sold == sold[report.product_id] for report in found)


def test_revenue_is_the_sum_of_the_orders_of_a_year(catalogue: Catalogue) -> None:
    """Twelve months, exact to the cent."""
    of_year = [order for order in ORDERS if order.day.startswith("2024")]
    months = catalogue.revenue(2024)
    assert [month.month for month in months] == [f"2024-{number:02}" for number in range(1, 13)]
    assert sum(month.orders for month in months) == len(of_year)
    assert sum(month.revenue for month in months) == Decimal(sum(o.quantity * o.paid_cents for o in of_year)) / 100


def test_also_bought_counts_customers_that_have_both_and_leaves_the_product_itself_out(catalogue: Catalogue) -> None:
    """Each number is how many different customers of product 1 bought the other one."""
    customers = {order.customer_id for order in ORDERS if order.product_id == 1}
    found = catalogue.also_bought(1)
    assert found
    assert 1 not in {report.product_id for report in found}
    for report in found:
        both = {order.customer_id for order in ORDERS if order.product_id == report.product_id} & customers
        assert report.customers == len(both)


def test_stock_covers_every_product_once(catalogue: Catalogue) -> None:
    """Products that were never sold count too, and the join doubles none."""
    found = catalogue.stock()
    assert [report.category for report in found] == sorted(CATEGORIES)
    assert sum(report.products for report in found) == len(PRODUCTS)
    assert sum(report.value for report in found) == Decimal(sum(p.stock * p.price_cents for p in PRODUCTS)) / 100
    assert sum(report.sold for report in found) == sum(order.quantity for order in ORDERS)


def test_an_unknown_category_year_or_product_has_an_empty_report(catalogue: Catalogue) -> None:
    """A browser may ask for anything."""
    assert catalogue.best_sellers("'; DROP TABLE orders; --") == []
    assert catalogue.revenue(1066) == []
    assert catalogue.also_bought(999_999) == []


def test_every_query_is_counted_also_from_many_threads(catalogue: Catalogue) -> None:
    """The count is what "queries saved" rests on."""
    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(catalogue.best_sellers, ["books"] * 40):
            pass
    assert catalogue.queries == 40

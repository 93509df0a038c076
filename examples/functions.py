"""Cache functions, async functions and methods.

    python examples/functions.py

It uses the embedded backend; with HOLDFAST_URL=redis://localhost:6379/0 it uses a real server.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal

from holdfast import Layer, cached, entries

layer = Layer.from_env()


@dataclass(frozen=True)
class Product:
    id: int
    name: str
    price: Decimal


@cached("5m", key="product:{product_id}", layer=layer)
def get_product(product_id: int) -> Product:
    print(f"  loading product {product_id}")
    return Product(product_id, "Teapot", Decimal("19.90"))


@cached("5m", key="product:{product_id}", layer=layer)
async def aget_product(product_id: int) -> Product:
    print(f"  loading product {product_id}, async")
    return Product(product_id, "Kettle", Decimal("29.90"))


class Prices:
    """A method is cached for all instances: `self` is not part of the key."""

    @cached("1m", layer=layer)
    def discount(self, product_id: int) -> Decimal:
        print(f"  computing the discount of product {product_id}")
        return Decimal("0.10") * product_id


def use_sync() -> None:
    print("first call:", get_product(1).name)
    print("second call, from the cache:", get_product(1).name)
    print("by name, the same entry:", get_product(product_id=1).price)
    print("removed:", entries(get_product).invalidate(1))
    print("so it is loaded again:", get_product(1).name)

    prices = Prices()
    print("a method, on two instances:", prices.discount(3), Prices().discount(3))
    entries(prices.discount).invalidate(3)


async def use_async() -> None:
    async with layer:  # closed at the end
        print("async code reads what sync code has stored:", (await aget_product(1)).name)
        print("and loads what nobody has stored:", (await aget_product(2)).name)
        for product_id in (1, 2):
            await entries(aget_product).ainvalidate(product_id)


if __name__ == "__main__":
    use_sync()
    asyncio.run(use_async())
    stats = layer.stats()
    print(f"hits: {stats.hits}, misses: {stats.misses}")

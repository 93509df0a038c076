"""What type checkers must see of decorated functions. Checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from holdfast import MISSING, CallInfo, EntryInfo, Layer, cached, cached_many, configure, entries

layer = Layer("memory://", namespace="shop", on_failure="raise", hooks=[print])
other = configure("memory://", secret=["a newer secret of ours", "an older secret of ours"], compression="zlib")


@dataclass
class Product:
    """A value."""

    name: str


@cached(ttl="5m", key="product:{product_id}", layer=layer)
def get_product(product_id: int, lang: str = "en") -> Product:
    """A plain function."""
    return Product(f"{product_id} {lang}")


@cached(300, jitter=0.1, cache_errors=KeyError, condition=bool)
async def aget_product(product_id: int, *, lang: str = "en") -> Product:
    """An async function."""
    return Product(f"{product_id} {lang}")


@layer.cached(lambda product: timedelta(minutes=len(product.name)), version="2")
def by_layer(name: str) -> Product:
    """A function on a layer."""
    return Product(name)


@cached_many("5m", key="product:{product_id}:{lang}", missing_ttl=30, tags=["lang:{lang}"], grace="1m", layer=layer)
def load_products(product_ids: list[int], lang: str = "en") -> dict[int, Product]:
    """A plain loader of many values."""
    return {product_id: Product(lang) for product_id in product_ids}


@layer.cached_many(lambda product: timedelta(minutes=len(product.name)), key="aproduct:{product_id}", version="2")
async def aload_products(product_ids: Iterable[int]) -> dict[int, Product]:
    """An async loader of many values."""
    return {product_id: Product("") for product_id in product_ids}


class Shop:
    """Every kind of method, with the decorator inside and outside."""

    @cached(60)
    def method(self, number: int) -> str:
        return str(number)

    @cached(60)
    async def amethod(self, number: int) -> str:
        return str(number)

    @cached(60)
    @classmethod
    def outside_class(cls, number: int) -> str:
        return str(number)

    @classmethod
    @cached(60)
    def inside_class(cls, number: int) -> str:
        return str(number)

    @cached(60)
    @staticmethod
    def outside_static(number: int) -> str:
        return str(number)

    @staticmethod
    @cached(60)
    def inside_static(number: int) -> str:
        return str(number)

    @cached(60)
    @classmethod
    async def aoutside_class(cls, number: int) -> str:
        return str(number)

    @classmethod
    @cached(60)
    async def ainside_class(cls, number: int) -> str:
        return str(number)

    @cached(60)
    @staticmethod
    async def aoutside_static(number: int) -> str:
        return str(number)

    @staticmethod
    @cached(60)
    async def ainside_static(number: int) -> str:
        return str(number)

    @cached_many(60, key="many:{number}")
    def many(self, numbers: list[int]) -> dict[int, str]:
        return {number: str(number) for number in numbers}

    @cached_many(60, key="amany:{number}")
    @classmethod
    async def amany(cls, numbers: list[int]) -> dict[int, str]:
        return {number: str(number) for number in numbers}

    @property
    @cached(60)
    def prop(self) -> str:
        return "x"


def plain() -> None:
    """Check blocking uses."""
    shop = Shop()
    assert_type(get_product(1, lang="de"), Product)
    assert_type(by_layer("a"), Product)
    assert_type(shop.method(1), str)
    assert_type(Shop.method(shop, 1), str)
    assert_type(Shop.outside_class(1), str)
    assert_type(shop.outside_class(1), str)
    assert_type(Shop.inside_class(1), str)
    assert_type(Shop.outside_static(1), str)
    assert_type(shop.outside_static(1), str)
    assert_type(Shop.inside_static(1), str)
    assert_type(shop.prop, str)
    assert_type(load_products([1], lang="de"), dict[int, Product])
    assert_type(shop.many([1]), dict[int, str])
    assert_type(entries(load_products).key([1]), str)
    assert_type(entries(load_products).refresh([1, 2], "de"), dict[int, Product])
    assert_type(entries(load_products).invalidate([1, 2]), bool)
    assert_type(entries(load_products).info([1]), EntryInfo | None)
    assert_type(entries(load_products).get([1]) or {}, dict[int, Product])
    entries(load_products).set({1: Product("lamp")}, [1, 2])
    assert_type(entries(get_product).key(1), str)
    assert_type(entries(get_product).refresh(1, "de"), Product)
    assert_type(entries(get_product).bypass(product_id=1), Product)
    assert_type(entries(get_product).invalidate(1), bool)
    assert_type(entries(get_product).info(1), EntryInfo | None)
    assert_type(entries(get_product).call(1), tuple[Product, CallInfo])
    assert_type(entries(shop.method).refresh(1), str)
    assert_type(entries(Shop.inside_class).invalidate(1), bool)
    entries(get_product).set(Product("lamp"), 1)
    found = entries(get_product).get(1)
    if found is not MISSING:
        assert_type(found, Product)
    with layer.disabled():
        get_product(1)
    assert_type(layer.cache.get_or_load("k", lambda: 1, "5m"), int)
    assert_type(layer.cache.get_many(["a", "b"]), dict[str, Any])
    assert_type(layer.cache.delete("a", "b"), int)
    assert_type(layer.cache.expire("a", 5), bool)
    assert_type(layer.stats().patterns["product:{product_id}"].hits, int)


async def asynchronous() -> None:
    """Check async uses."""
    shop = Shop()
    pending: Coroutine[Any, Any, Product] = aget_product(1)
    assert_type(await pending, Product)
    assert_type(await aget_product(1, lang="de"), Product)
    assert_type(await shop.amethod(1), str)
    assert_type(await Shop.aoutside_class(1), str)
    assert_type(await Shop.ainside_class(1), str)
    assert_type(await Shop.aoutside_static(1), str)
    assert_type(await Shop.ainside_static(1), str)
    assert_type(await aload_products({1: 2}), dict[int, Product])
    assert_type(await Shop.amany([1]), dict[int, str])
    assert_type(await entries(aload_products).arefresh([1]), dict[int, Product])
    assert_type(await entries(aget_product).arefresh(1), Product)
    assert_type(await entries(aget_product).ainvalidate(1, lang="de"), bool)
    assert_type(await entries(aget_product).acall(1), tuple[Product, CallInfo])
    await entries(aget_product).aset(Product("lamp"), 1)
    async with Layer("memory://") as own:
        assert_type(await own.cache.aget_many(["a"]), dict[str, Any])
        await own.cache.aset("a", 1, ttl="5m")


def mistakes() -> None:
    """Check that the checkers still see what is wrong: each ignore below is needed."""
    get_product("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    get_product()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    entries(get_product).invalidate("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    entries(get_product).set("lamp", 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    load_products(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    entries(load_products).invalidate(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cached_many(60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cached_many(60, key="{id}", cache_errors=KeyError)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cached(ttl=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    layer.cached(1, kex="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

"""What type checkers must see of locks. Checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, assert_type

from holdfast import Held, Layer, Lock, LockLost, LockNotAcquired, MultiHeld, cached, current_lock, entries, locked

layer = Layer("memory://")


@locked("greet:{user_id}", lease="10s", wait=timedelta(seconds=1), on_busy="skip", fair=True, layer=layer)
def greet(user_id: int, lang: str = "en") -> str:
    """A plain function."""
    return f"{user_id} {lang}"


@locked("greet", max_lifetime=60, cancel_on_loss=True, min_replicas=1, reentrant=True)
async def agreet(user_id: int, *, lang: str = "en") -> str:
    """An async function."""
    return f"{user_id} {lang}"


def key_of(user_id: int) -> str:
    """The key of a call."""
    return f"user:{user_id}"


def on_busy(user_id: int) -> str:
    """What is called instead."""
    return f"busy {user_id}"


@layer.locked(key_of, on_busy=on_busy, wait=0)
def by_layer(user_id: int) -> str:
    """A function on a layer."""
    return str(user_id)


@layer.locked("stacked")
@cached(60)
async def stacked(user_id: int) -> str:
    """A function under two decorators."""
    return str(user_id)


class Shop:
    """Every kind of method, with the decorator inside and outside."""

    @locked("m:{number}")
    def method(self, number: int) -> str:
        return str(number)

    @locked("m")
    async def amethod(self, number: int) -> str:
        return str(number)

    @locked("m")
    @classmethod
    def outside_class(cls, number: int) -> str:
        return str(number)

    @classmethod
    @locked("m")
    async def ainside_class(cls, number: int) -> str:
        return str(number)

    @locked("m")
    @staticmethod
    def outside_static(number: int) -> str:
        return str(number)

    @staticmethod
    @locked("m")
    def inside_static(number: int) -> str:
        return str(number)


def plain() -> None:
    """Check blocking uses."""
    shop = Shop()
    assert_type(greet(1, lang="de"), str)
    assert_type(by_layer(1), str)
    assert_type(shop.method(1), str)
    assert_type(Shop.outside_class(1), str)
    assert_type(Shop.outside_static(1), str)
    assert_type(shop.inside_static(1), str)
    lock = layer.lock("k", lease="30s", wait=0, fair=True, reentrant=True, max_lifetime=3600, min_replicas=1)
    assert_type(lock, Lock)
    assert_type(lock.locked(), bool)
    with lock as held:
        assert_type(held, Held)
        assert_type(held.name, str)
        assert_type(held.token, str)
        assert_type(held.fencing_token, int)
        assert_type(held.lost, bool)
        assert_type(held.remaining, float)
        held.check()
        held.extend("1m")
        held.extend()
    with lock.acquire() as handle:
        assert_type(handle, Held)
    with layer.semaphore("k", 3, lease=5) as permit:
        assert_type(permit, Held)
    both = layer.read_write_lock("k")
    with both.read(wait="5s") as reader, both.write(lease=timedelta(minutes=1)) as writer:
        assert_type((reader, writer), tuple[Held, Held])
    with layer.multi_lock(["a", "b"], fair=True) as several:
        assert_type(several, MultiHeld)
        assert_type(several.held, tuple[Held, ...])
        assert_type(several.fencing_tokens, dict[str, int])
        assert_type(several.remaining, float)
    assert_type(current_lock(), Held)
    try:
        lock.acquire().release()
    except (LockLost, LockNotAcquired) as error:
        assert_type(str(error), str)


async def asynchronous() -> None:
    """Check async uses."""
    pending: Coroutine[Any, Any, str] = agreet(1)
    assert_type(await pending, str)
    assert_type(await stacked(1), str)
    assert_type(await entries(stacked).arefresh(1), str)
    assert_type(await Shop().amethod(1), str)
    assert_type(await Shop.ainside_class(1), str)
    lock = layer.lock("k", cancel_on_loss=True)
    assert_type(await lock.alocked(), bool)
    async with lock as held:
        assert_type(held, Held)
        await held.aextend(5)
    handle = await lock.aacquire()
    assert_type(handle, Held)
    async with handle as same:
        assert_type(same, Held)
    await handle.arelease()
    async with layer.multi_lock({"a", "b"}) as several:
        assert_type(several, MultiHeld)


def mistakes() -> None:
    """Check that the checkers still see what is wrong: each ignore below is needed."""
    greet("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    greet()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    locked("k", on_busy="wait")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    locked("k", leese=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    locked()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    layer.lock("k", leese=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    layer.lock("k", fair="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    layer.semaphore("k")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    layer.semaphore("k", 2, fair=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    layer.read_write_lock("k").read(reentrant=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    layer.multi_lock(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

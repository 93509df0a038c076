"""What stays in Redis takes as much as the page of costs says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from holdfast import Layer
from support.http_costs import LONG, UNSTORED
from support.http_steps import FRESH
from support.http_world import HOST, Says, World, colour_of
from support.programs import newest
from support.standalone import Standalone
from support.waiting import until

PAGE: Final = (Path(__file__).parents[2] / "docs" / "reference" / "costs.md").read_text(encoding="utf-8")
_ROWS: Final = re.findall(r"^\| ([^|`]+?) \| (\d+) \| [^|]+ \|$", PAGE, re.MULTILINE)


def test_what_is_left_behind_takes_what_the_page_says() -> None:
    """Within a quarter: bytes of every kind of key, as the server counts them."""
    with Standalone(newest()) as server, Layer(server.url, namespace="shop") as layer:
        found = dict(_left_behind(server, layer))
    assert [row[0] for row in _ROWS] == list(found)
    for what, told in _ROWS:
        assert found[what] == pytest.approx(int(told), rel=0.25), what


def _left_behind(server: Standalone, layer: Layer) -> Iterator[tuple[str, int]]:
    name, sizes = "shop:{}:{{product:7}}", []

    def used(key: str) -> int:
        return int(server.client.memory_usage(key) or 0)

    for what, value, tags in [
        ("entry, a number", 12.5, []),
        ("entry, a text of 1,000 bytes", "x" * 1000, []),
        ("entry, a number, with one tag", 12.5, ["category:3"]),
    ]:
        layer.cache.set("product:7", value, 60, tags=tags)
        yield what, used(name.format("cache"))

    @layer.stampede_protected(key="product:{number}")
    def product(number: int) -> float:
        sizes.append(used(name.format("flight")))
        return 12.5

    assert product(7) == 12.5
    yield "lease", sizes[0]
    (result,) = server.client.scan_iter(match="shop:flight:*")
    yield "result for other processes, a number", used(result)
    layer.cache.invalidate_tags("category:3")
    yield "tag", used("shop:tag:{category:3}")
    yield "epoch of all tags", used("shop:tag-epoch")
    yield from _limits(server, layer)
    yield from _locks(server, layer)
    yield from _sessions(server, layer)
    yield from _pages(server, layer)  # the last, since a world's clock stands still


def _limits(server: Standalone, layer: Layer) -> Iterator[tuple[str, int]]:
    def used(kind: str) -> int:
        return int(server.client.memory_usage(f"shop:limit:{{product:7}}:{kind}", samples=0) or 0)

    for algorithm, hits in [("gcra", 1), ("fixed_window", 1), ("sliding_counter", 1), ("sliding_log", 100)]:
        for _ in range(hits):
            layer.limiter.hit(f"1000/hour; algorithm={algorithm}", "product:7")
        suffix = f", {hits} hits" if hits > 1 else ""
        yield f"bucket, {algorithm.replace('_', ' ')}{suffix}", used(f"{algorithm}:per-hour")
    with layer.limiter.concurrency(1, "product:7"):
        yield "slots of a key, 1 held", used("concurrency")


def _locks(server: Standalone, layer: Layer) -> Iterator[tuple[str, int]]:
    def used(key: str) -> int:
        return int(server.client.memory_usage(f"shop:{key}", samples=0) or 0)

    with layer.lock("product:7"):
        yield "lock, held", used("lock:{product:7}")
    yield "fencing token of a lock", used("lock:{product:7}:fence")
    semaphore = layer.semaphore("product:7", 10)
    held = [semaphore.acquire() for _ in range(10)]
    yield "permits of a semaphore, 10 held", used("semaphore:{product:7}")
    for each in held:
        each.release()
    yield "queue of a lock, 10 waiting", _queue(server, layer, used)


def _queue(server: Standalone, layer: Layer, used: Callable[[str], int]) -> int:
    lock = layer.lock("product:7", fair=True)

    def wait() -> None:
        with lock:
            pass

    with ThreadPoolExecutor(10) as threads, lock:
        for _ in range(10):
            threads.submit(wait)
        until(lambda: server.client.zcard("shop:lock:{product:7}:queue") == 10, "all of them wait")
        return used("lock:{product:7}:queue") + used("lock:{product:7}:alive")


def _sessions(server: Standalone, layer: Layer) -> Iterator[tuple[str, int]]:
    def used(pattern: str) -> int:
        (key,) = server.client.scan_iter(match=f"shop:{pattern}")
        return int(server.client.memory_usage(key, samples=0) or 0)

    session, _ = layer.sessions.create()
    yield "session, empty", used("session:*")
    layer.sessions.revoke(session.handle)
    session, _ = layer.sessions.create({"cart": ["teapot"], "theme": "dark"})
    yield "session, two values", used("session:*")
    layer.sessions.revoke(session.handle)
    for _ in range(10):
        layer.sessions.create(user="42")
    yield "sessions of a user, 10", used("session-user:*")


def _pages(server: Standalone, layer: Layer) -> Iterator[tuple[str, int]]:
    key, world = f"shop:cache:{{http:http://{HOST}/product/7}}", World("wsgi", layer)
    lines = (FRESH, "Content-Type: text/html; charset=utf-8")

    def stored(*says: Says) -> None:
        server.client.unlink(key)
        for number, each in enumerate(says):
            world.origin.script = [each]
            colour_of("wsgi").run(lambda: world.ask("GET /product/7", [f"Accept-Language: {number}"]))  # noqa: B023

    def used(found: str | bytes = key) -> int:
        return int(server.client.memory_usage(found, samples=0) or 0)

    stored(Says(lines, body=b"x" * 1000))
    yield "page, a body of 1,000 bytes", used()
    stored(*[Says((*lines, "Vary: Accept-Language"), body=b"x" * 1000)] * 2)
    yield "page, two variants with 1,000 bytes each", used()
    stored(Says(lines, body=LONG))
    yield "page, its body apart", used()
    (body,) = server.client.scan_iter(match=f"{key}:*")
    yield "body apart, 16,640 bytes", used(body)
    stored(Says(UNSTORED))
    yield "mark of a page that is not to be stored", used()

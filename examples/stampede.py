"""Let one caller load for all who ask at the same time, forget by tag, and serve the old value while refreshing.

    python examples/stampede.py

It uses the embedded backend; with HOLDFAST_URL=redis://localhost:6379/0 it uses a real server.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from holdfast import Layer, entries

layer = Layer.from_env()
sold = {"kitchen": 31}


@layer.stampede_protected("1m", key="sales:{category}", tags=["category:{category}"], grace="1m", beta=0)
def sales(category: str) -> int:
    time.sleep(0.5)  # stands for a slow query
    print(f"  the sales of the {category} are loaded")
    return sold[category]


@layer.stampede_protected("1m", key="sales:{category}", tags=["category:{category}"], grace="1m", beta=0)
async def async_sales(category: str) -> int:
    await asyncio.sleep(0.5)
    print(f"  the sales of the {category} are loaded")
    return sold[category]


async def ask_all() -> set[int]:
    """Ask with 20 threads and 20 tasks at once."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(20) as pool:
        threads = [loop.run_in_executor(pool, sales, "kitchen") for _ in range(20)]
        tasks = [async_sales("kitchen") for _ in range(20)]
        return set(await asyncio.gather(*threads, *tasks))


def use_tags() -> None:
    sold["kitchen"] = 32
    layer.cache.invalidate_tags("category:kitchen")
    print("invalidated by its tag:", sales("kitchen"))

    sold["kitchen"] = 33
    layer.cache.invalidate_tags("category:kitchen", soft=True)
    value, info = entries(sales).call("kitchen")
    print("made stale, the old value at once:", value, info.status)
    while sales("kitchen") == value:  # it is refreshed in the background
        time.sleep(0.01)
    print("and a moment later:", sales("kitchen"))


async def main() -> None:
    async with layer:  # closed at the end
        print("20 threads and 20 tasks:", await ask_all())
        await asyncio.to_thread(use_tags)
        await entries(async_sales).ainvalidate("kitchen")


if __name__ == "__main__":
    asyncio.run(main())
    print("loads:", layer.stats().fills)

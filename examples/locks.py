"""One at a time: calls, threads, tasks, several locks at once, readers and writers, a lock that is lost.

    python examples/locks.py

It uses the embedded backend; with HOLDFAST_URL=redis://localhost:6379/0 it uses a real server.
"""

from __future__ import annotations

import asyncio
import threading

from holdfast import Layer, LockLost, LockNotAcquired

layer = Layer.from_env()
balances = {"ada": 0, "grace": 100}


@layer.locked("report:{day}", wait=0, on_busy=lambda day: f"the report of {day} is under way")
def report(day: str) -> str:
    return f"the report of {day}"


@layer.locked("balance:{name}", wait="10s", fair=True)
async def deposit(name: str, amount: int) -> None:
    balance = balances[name]
    await asyncio.sleep(0.001)  # others run meanwhile, and wait for the lock
    balances[name] = balance + amount


def transfer(source: str, target: str, amount: int) -> None:
    with layer.multi_lock([f"transfer:{source}", f"transfer:{target}"], wait="10s") as held:
        balances[source] -= amount
        balances[target] += amount
        held.check()


def use_sync() -> None:
    print(report("Monday"))
    with layer.lock("report:Monday"):
        print(report("Monday"))
        print(report("Tuesday"))

    there_and_back = [("ada", "grace"), ("grace", "ada")] * 5
    threads = [threading.Thread(target=transfer, args=(*names, 10)) for names in there_and_back]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("after ten transfers:", balances)


async def use_async() -> None:
    async with layer:  # closed at the end
        await asyncio.gather(*(deposit("ada", 1) for _ in range(20)))
        print("after twenty deposits:", balances["ada"])

        prices = layer.read_write_lock("prices")
        async with await prices.read().aacquire(), await prices.read().aacquire():  # two readers
            try:
                async with prices.write(wait=0):
                    print("nobody reads")
            except LockNotAcquired:
                print("nobody writes while two read")

        try:
            async with layer.lock("rebuild", lease="0.3s", max_lifetime="0.3s", cancel_on_loss=True):
                await asyncio.sleep(60)  # it hangs
        except LockLost:
            print("a rebuild that hung was cancelled")


if __name__ == "__main__":
    use_sync()
    asyncio.run(use_async())
    counts = layer.stats()
    print(f"acquired: {counts.acquired}, busy: {counts.busy}, lost: {counts.lost}")

"""Processes that serve one app behind the HTTP cache, under WSGI or ASGI, and do as a test tells them.

What the app answers under a path, and all orders, lie on a second server, so that the first one sees the cache only.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from faults.programs import begun
from support.standalone import Standalone
from support.waiting import until

HOST = "shop.example"
PROGRAM = """
import json, logging, redis
other, name, kind, tests, options = sys.argv[2:7]
sys.path.insert(0, tests)
from concurrent.futures import ThreadPoolExecutor
from holdfast import Layer
from support.colours import Colour
from support.http_shop import HOST, Made, Shop

control = redis.Redis.from_url(other, socket_timeout=None)
colour = Colour(kind)
logging.getLogger("holdfast").setLevel(logging.CRITICAL)  # the death of a server is what some tests are about

async def opened(gate):
    while gate and not control.exists(f"open:{gate}"):
        await colour.sleep(0.005)

async def respond(asked):
    spec = json.loads(control.get(f"app:{asked.path}"))
    run = control.rpush(f"runs:{asked.path}", f"{name} {asked.method}")
    if asked.method != "GET":
        return Made(status=204)
    if run == 1 or not spec.get("first"):
        await opened(spec.get("gate"))
    last = spec.get("last", "")
    held = [lambda: opened(last)] if last and run == 1 else []
    body = spec["body"].encode() * spec.get("times", 1)
    return Made([tuple(pair) for pair in spec["fields"]], [body, *held, b" end"])

def told(got):
    return [got.status, got.told, got.get("Age"), len(got.body), got.body[:50].decode(), got.body[-4:].decode()]

async def do(order, shop):
    what, words = order
    if what == "purge":
        return await colour.of(shop.layer.http_cache).purge(*[f"http://{HOST}{path}" for path in words])
    if what == "tag":
        return await colour.of(shop.layer.cache).invalidate_tags(*words)
    if what == "misses":
        return shop.layer.stats().misses
    method, path = words
    return told(await shop.ask(path, method=method))

async def answer(order, number, shop):
    try:
        result = await do(order, shop)
    except Exception as error:
        result = repr(error)
    control.rpush(f"done:{number}", json.dumps(result))

def serve_sync():
    with Layer(url, namespace="pages") as layer, ThreadPoolExecutor(24) as pool:
        shop = Shop(colour, layer, respond, json.loads(options))
        control.set(f"ready:{name}", 1)
        while (order := json.loads(control.blpop(f"do:{name}")[1]))[0] != "end":
            pool.submit(colour.run, lambda order=order: answer(order[:2], order[2], shop))

async def serve_async():
    async with Layer(url, namespace="pages") as layer:
        shop = Shop(colour, layer, respond, json.loads(options))
        control.set(f"ready:{name}", 1)
        tasks = set()
        while (order := json.loads((await asyncio.to_thread(control.blpop, f"do:{name}"))[1]))[0] != "end":
            tasks.add(asyncio.ensure_future(answer(order[:2], order[2], shop)))
        await asyncio.gather(*tasks)

serve_sync() if kind == "sync" else asyncio.run(serve_async())
"""


class Served:
    """One such process."""

    def __init__(self, name: str, process: subprocess.Popen[str], control: redis.Redis) -> None:
        self.name = name
        self.process = process
        self._control = control

    def begin(self, what: str, *words: str) -> int:
        """Have it do something; return the number to get the result by."""
        number = int(self._control.incr("orders"))
        self._control.rpush(f"do:{self.name}", json.dumps([what, words, number]))
        return number

    def result(self, number: int) -> Any:
        """Return the result of an order."""
        found = self._control.blpop([f"done:{number}"], 60)
        assert found is not None, f"{self.name} has not answered"
        return json.loads(found[1])

    def do(self, what: str, *words: str) -> Any:
        """Have it do something, and return the result."""
        return self.result(self.begin(what, *words))

    def get(self, path: str) -> Any:
        """Have it answer a GET; return what the client got."""
        return self.do("ask", "GET", path)

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.process.kill()
        self.process.wait(60)


class Site:
    """Several processes that serve the same app over the same Redis."""

    def __init__(self, server: Standalone, control: redis.Redis, processes: list[Served]) -> None:
        self.server = server
        self.control = control
        self.processes = processes

    def app(self, path: str, *fields: tuple[str, str], body: str = "a", **spec: Any) -> None:
        """Say what the app answers under a path."""
        self.control.set(f"app:{path}", json.dumps({"fields": fields, "body": body, **spec}))

    def open(self, gate: str) -> None:
        """Let all go on that wait at a gate."""
        self.control.set(f"open:{gate}", 1)

    def runs(self, path: str) -> list[str]:
        """Return the names of the processes whose app was asked for a path, with the method."""
        return [str(each, "ascii") for each in self.control.lrange(f"runs:{path}", 0, -1)]  # type: ignore[arg-type]

    def keys(self) -> dict[str, int]:
        """Return all keys of the cache, with the milliseconds that each has left."""
        client = self.server.client
        return {key.decode(): client.pttl(key) for key in client.scan_iter(match="pages*", count=1000)}


@contextmanager
def site(server: Standalone, other: Standalone, kinds: list[str], url: str = "", **options: Any) -> Iterator[Site]:
    """Give processes of some colours that are ready."""
    control = other.client
    tests = str(Path(__file__).parent.parent)
    processes = []
    for kind in kinds:
        name = f"{kind} {control.incr('names')}"
        words = (url or server.url, other.url, name, kind, tests, json.dumps(options))
        processes.append(Served(name, begun(PROGRAM, *words), control))
    try:
        until(lambda: all(control.exists(f"ready:{each.name}") for each in processes), "all are ready")
        yield Site(server, control, processes)
    finally:
        for each in processes:
            each.begin("end")
        for each in processes:
            try:
                _, complaints = each.process.communicate(timeout=30)
            finally:
                each.process.kill()
            assert each.process.returncode in {0, -9}, complaints

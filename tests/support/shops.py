"""The shops of ``examples/``: started by their servers' own commands, and visited by browsers."""

from __future__ import annotations

import itertools
import os
import socket
import sqlite3
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import httpx

from support.ports import free_port
from support.process import Process
from support.waiting import until

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
SERVERS: Final = {
    "fastapi": ["uvicorn", "shop_fastapi:app", "--port={port}", "--log-level=warning"],
    "flask": ["waitress", "--listen=127.0.0.1:{port}", "--threads=8", "shop_flask:app"],
    "django": ["gunicorn", "--bind=127.0.0.1:{port}", "--threads=8", "--log-level=warning", "shop_django:application"],
}
PASSWORDS: Final = {"ada": "lovelace", "grace": "hopper"}
_PROCESSES: Final = 2
_COMPLAINT: Final = "Traceback"


class Shop:
    """One shop, served by several processes that share a Redis and a database."""

    def __init__(self, ports: list[int], database: Path) -> None:
        self.ports = ports
        self._database = database
        self._addresses = itertools.count(2)

    def browser(self) -> Browser:
        """Return a browser whose address nobody has used: it has all of its quotas."""
        return Browser(self.ports, f"127.0.0.{next(self._addresses)}")

    def put(self, *names: str, stock: int, price: int = 100) -> None:
        """Write products into the database, and tell nobody."""
        rows = [(name, price, stock) for name in names]
        with closing(sqlite3.connect(self._database, timeout=30)) as database, database:
            database.executemany("INSERT OR REPLACE INTO product VALUES (?, ?, ?)", rows)

    def stock(self, name: str) -> int:
        """Return what the database says is left of a product."""
        return int(self._ask("SELECT stock FROM product WHERE name = ?", name))

    def orders(self, name: str) -> int:
        """Return how many orders of a product there are in the database."""
        return int(self._ask("SELECT count(*) FROM orders WHERE items LIKE ?", f'%"{name}"%'))

    def _ask(self, statement: str, word: str) -> Any:
        with closing(sqlite3.connect(self._database, timeout=30)) as database:
            return database.execute(statement, (word,)).fetchone()[0]


class Browser:
    """Somebody with cookies, who comes to one process after the other. Use it with ``async with``.

    Args:
        ports: of the processes.
        address: from which it comes.
        cookies: that it has already.
    """

    def __init__(self, ports: list[int], address: str, cookies: dict[str, str] | None = None) -> None:
        self._ports, self._turns, self._address = ports, itertools.cycle(ports), address
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                local_address=address,
                limits=httpx.Limits(max_keepalive_connections=0),  # or a server may close one that is about to be used
            ),
            headers={"Host": "localhost"},  # the processes are one site
            cookies=cookies,
            timeout=60,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    @property
    def cookie(self) -> str:
        """The session's, with its name."""
        (found,) = self._client.cookies.items()
        return "=".join(found)

    def with_cookie(self, cookie: str) -> Browser:
        """Return another browser at the same address that has the cookie of a session."""
        name, _, value = cookie.partition("=")
        return Browser(self._ports, self._address, {name: value})

    async def ask(self, method: str, path: str, *, json: Any = None, key: str = "") -> httpx.Response:
        """Send a request, with an Idempotency-Key if there is one."""
        headers = {"Idempotency-Key": f'"{key}"'} if key else {}
        url = f"http://127.0.0.1:{next(self._turns)}{path}"
        return await self._client.request(method, url, json=json, headers=headers)

    async def get(self, path: str) -> Any:
        """Return what a path has, which must be there."""
        response = await self.ask("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    async def add(self, name: str) -> None:
        """Put a product into the cart."""
        response = await self.ask("POST", f"/cart/{name}")
        assert response.status_code == 200, response.text

    async def log_in(self, user: str = "ada", password: str = "") -> httpx.Response:
        """Try to log in, with the right password unless there is another."""
        return await self.ask("POST", "/login", json={"user": user, "password": password or PASSWORDS[user]})


@contextmanager
def served(name: str, url: str, namespace: str, folder: Path) -> Generator[Shop]:
    """Give one of the shops, with processes that run.

    Args:
        name: of the framework.
        url: of the Redis.
        namespace: of the keys.
        folder: for its database and what the processes write.
    """
    database = folder / "shop.db"
    settings = [
        f"HOLDFAST_URL={url}",
        f"HOLDFAST_NAMESPACE={namespace}",
        f"SHOP_DATABASE={database}",
        f"PYTHONPATH={EXAMPLES}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    ]
    ports = [free_port() for _ in range(_PROCESSES)]
    programs = [Process(f"{name} {port}", folder / f"log{port}") for port in ports]
    try:
        for program, port in zip(programs, ports, strict=True):
            words = [word.format(port=port) for word in SERVERS[name]]
            program.start(["env", *settings, sys.executable, "-W", "error", "-m", *words])
        for program, port in zip(programs, ports, strict=True):
            _await(program, port)
        yield Shop(ports, database)
        for program in programs:
            written = program.written(lines=10_000)
            assert _COMPLAINT not in written, written
    finally:
        for program in programs:
            program.terminate()


def _await(program: Process, port: int) -> None:
    """Wait until a server listens, without a request, which would count."""
    until(lambda: _listens(port) or not program.running, f"{program.name} listens or ends")
    assert program.running, program.written()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

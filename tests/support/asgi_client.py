"""A client of an ASGI app, without a server: each request in a loop of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class AsgiClient:
    """Asks an app and returns what it answers; what the app raises is raised."""

    app: Any

    def get(self, path: str) -> httpx.Response:
        """Ask with GET."""
        return self.ask("GET", path)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask with any method; `options` are those of httpx."""

        async def scenario() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **options)

        return asyncio.run(scenario())

"""Cached functions as views of web frameworks."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Header
from flask import Flask, jsonify

from holdfast import Layer

layer = Layer("memory://cached-views")
calls: list[object] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Start each test without calls."""
    calls.clear()


def test_fastapi_reads_the_parameters_through_the_decorator() -> None:
    """Path, query and header parameters are parsed and checked as without it, for `async def` and `def`."""
    app = FastAPI()

    @app.get("/async/{number}")
    @layer.cached(60, key="async-route:{number}:{scale}")
    async def route(number: int, scale: int = 2) -> dict[str, int]:
        calls.append("route")
        return {"result": number * scale}

    @app.get("/sync/{number}")
    @layer.cached(60, key="sync-route:{number}:{tenant}")
    def sync_route(number: int, tenant: str = Header()) -> dict[str, str]:
        return {"result": f"{tenant}{number}"}

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            assert (
                (await client.get("/async/4")).json() == (await client.get("/async/4?scale=2")).json() == {"result": 8}
            )
            assert (await client.get("/async/4?scale=3")).json() == {"result": 12}
            assert (await client.get("/async/four")).status_code == 422
            assert (await client.get("/sync/4", headers={"tenant": "a"})).json() == {"result": "a4"}
            assert (await client.get("/sync/4")).status_code == 422

    asyncio.run(ask())
    assert len(calls) == 2


def test_a_flask_view_can_be_cached() -> None:
    """A view whose data come from a decorated function, and a decorated view that returns text."""
    app = Flask("views")

    @app.get("/json/<int:number>")
    def view(number: int) -> Any:
        return jsonify(data(number))

    @app.get("/text/<name>")
    @layer.cached(60, key="text:{name}")
    def text(name: str) -> str:
        calls.append(name)
        return f"hello {name}"

    @layer.cached(60, key="flask:{number}")
    def data(number: int) -> dict[str, int]:
        calls.append(number)
        return {"number": number}

    client = app.test_client()
    assert [client.get("/json/3").json for _ in range(2)] == [{"number": 3}] * 2
    assert [client.get("/text/Ada").text for _ in range(2)] == ["hello Ada"] * 2
    assert calls == [3, "Ada"]

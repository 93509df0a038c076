from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import httpx
import pytest
from flask.testing import FlaskClient

from holdfast import Layer
from holdfast.demo import fastapi_app, flask_app, page, skins
from holdfast.demo.catalogue import Catalogue
from holdfast.demo.reports import PAGES, async_cached_reports, cached_reports
from holdfast.demo.watch import Watch


@pytest.fixture
def url() -> str:
    """Return an embedded backend that no other test sees."""
    return f"memory://{uuid4()}"


@pytest.fixture
def flask_client(url: str, catalogue: Catalogue) -> Iterator[FlaskClient]:
    watch = Watch()
    with Layer(url, hooks=[watch]) as layer:
        app = flask_app.create_app(cached_reports(catalogue, layer), lambda: page.render("Flask", layer, watch))
        yield app.test_client()


@asynccontextmanager
async def fastapi_client(url: str, catalogue: Catalogue) -> AsyncIterator[httpx.AsyncClient]:
    watch = Watch()
    layer = Layer(url, hooks=[watch])
    reports = async_cached_reports(catalogue, layer)
    app = fastapi_app.create_app(reports, layer, lambda: page.render("FastAPI", layer, watch))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app")
    async with app.router.lifespan_context(app), client:
        yield client


def test_flask_answers_each_report_a_second_time_without_a_query(
    flask_client: FlaskClient, catalogue: Catalogue
) -> None:
    """The second answer is the first one, byte for byte, and SQLite was asked once."""
    for report in PAGES:
        before = catalogue.queries
        cold, warm = flask_client.get(report.path), flask_client.get(report.path)
        assert (cold.status_code, warm.status_code) == (200, 200)
        assert cold.json
        assert warm.data == cold.data
        assert catalogue.queries == before + 1


def test_fastapi_answers_each_report_a_second_time_without_a_query(url: str, catalogue: Catalogue) -> None:
    """The same promise for async views."""

    async def ask() -> None:
        async with fastapi_client(url, catalogue) as client:
            for report in PAGES:
                before = catalogue.queries
                cold, warm = await client.get(report.path), await client.get(report.path)
                assert (cold.status_code, warm.status_code) == (200, 200)
                assert cold.json()
                assert warm.content == cold.content
                assert catalogue.queries == before + 1

    anyio.run(ask)


def test_each_skin_reads_what_the_other_has_stored(url: str, flask_client: FlaskClient, catalogue: Catalogue) -> None:
    """Same templates, same types: sync and async code share their entries."""
    bodies = {report.path: flask_client.get(report.path).data for report in PAGES}
    before = catalogue.queries

    async def ask() -> None:
        async with fastapi_client(url, catalogue) as client:
            for path, body in bodies.items():
                assert (await client.get(path)).json() == json.loads(body)

    anyio.run(ask)
    assert catalogue.queries == before


def test_the_index_page_links_to_every_report_and_shows_the_counts(flask_client: FlaskClient) -> None:
    """A newcomer finds the way, and sees hits, misses and how long the query took."""
    for _ in range(3):
        flask_client.get("/stock")
    text = flask_client.get("/").text
    assert all(f'href="{report.path}"' for report in PAGES if report.path in text)
    row = text.split("<td>stock</td>")[1].split("</tr>")[0]
    assert [cell.split("</td>")[0] for cell in row.split('<td class="n">')[1:]][:2] == ["2", "1"]
    assert " ms</td>" in row


def test_forget_makes_the_next_answer_a_fresh_one(url: str, flask_client: FlaskClient, catalogue: Catalogue) -> None:
    """The button leads back to the index page, and each report is computed anew, whichever skin is asked."""
    for report in PAGES:
        flask_client.get(report.path)
    answer = flask_client.post("/forget")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")

    async def ask_and_forget() -> None:
        async with fastapi_client(url, catalogue) as client:
            for report in PAGES:
                await client.get(report.path)
            answer = await client.post("/forget")
            assert (answer.status_code, answer.headers["Location"]) == (303, "/")
            assert "FastAPI" in (await client.get("/")).text

    before = catalogue.queries
    anyio.run(ask_and_forget)
    assert catalogue.queries == before + len(PAGES)
    for report in PAGES:
        flask_client.get(report.path)
    assert catalogue.queries == before + 2 * len(PAGES)


def test_without_redis_reports_are_answered_and_forget_says_that_it_cannot(catalogue: Catalogue) -> None:
    """Reads go on without the cache; an invalidation that did not happen is told."""
    unreachable = "redis://127.0.0.1:1"
    with Layer(unreachable) as layer:
        client = flask_app.create_app(cached_reports(catalogue, layer), str).test_client()
        assert client.get("/stock").status_code == 200
        assert client.post("/forget").status_code == 503

    async def ask() -> None:
        async with fastapi_client(unreachable, catalogue) as client:
            assert (await client.get("/stock")).status_code == 200
            assert (await client.post("/forget")).status_code == 503

    anyio.run(ask)


@pytest.mark.parametrize("serve", [skins.serve_fastapi, skins.serve_flask])
def test_a_skin_closes_its_layer_when_it_ends(serve: Any, small_database: Path, url: str) -> None:
    """During the block the layer works; after it, it says that Redis is away."""
    with serve(small_database, skins.Backend(url, "test")) as skin:
        skin.layer.cache.get("probe")
        assert skin.watch.failure is None
    skin.layer.cache.get("probe")
    assert skin.watch.failure is not None

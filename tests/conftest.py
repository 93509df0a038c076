"""Fixtures for all tests. What they stand on is in `support`; CONTRIBUTING.md shows how to use them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings

settings.register_profile("holdfast", deadline=None)  # a machine under load is no defect
settings.load_profile("holdfast")

_TESTS = str(Path(__file__).parent)
if _TESTS not in sys.path:  # whichever import mode pytest was told to use
    sys.path.insert(0, _TESTS)

from support import process, topologies  # noqa: E402 - needs the path above
from support.colours import Colour  # noqa: E402
from support.programs import Program, programs  # noqa: E402

LOG_SIZES = pytest.StashKey[dict[process.Process, int]]()


def pytest_report_header() -> list[str]:
    """Show which servers the tests run on."""
    return [f"redis-server: {program}" for program in programs()]


def pytest_collection_finish() -> None:
    """Let the garbage collector never look again at modules and thousands of tests, which live as long as the run."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note how much each server has written so far."""
    item.stash[LOG_SIZES] = {each: each.size_of_log for each in process.living}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what the servers that run wrote during it."""
    report = yield
    if report.failed:
        sizes = item.stash.get(LOG_SIZES, {})
        for each in sorted(process.living, key=lambda each: each.name):
            if text := each.written(since=sizes.get(each, 0)):
                report.sections.append((f"log of {each.name}", text))
    return report


@pytest.fixture(scope="session")
def servers() -> Iterator[topologies.Servers]:
    """The servers that all tests share; each starts when it is first asked for."""
    shared = topologies.Servers()
    yield shared
    shared.close()


@pytest.fixture(params=topologies.ALL)
def topology(request: pytest.FixtureRequest, servers: topologies.Servers) -> topologies.Topology:
    """Each place that a contract must hold in, with its `url` and `name`."""
    return servers.topology(request.param)


@pytest.fixture(params=topologies.SERVED)
def server_topology(request: pytest.FixtureRequest, servers: topologies.Servers) -> topologies.Topology:
    """Each place with real servers, which can be monitored and looked into."""
    return servers.topology(request.param)


@pytest.fixture(params=programs(), ids=lambda program: program.name)
def program(request: pytest.FixtureRequest) -> Program:
    """Each redis-server program, for tests that start a server of their own."""
    found = request.param
    assert isinstance(found, Program)
    return found


@pytest.fixture
def namespace() -> str:
    """Random text that this test's keys start with, so that nobody has to flush a server."""
    return f"test-{uuid4().hex[:16]}"


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> Colour:
    """Each colour of code; see `support.colours`."""
    return Colour(request.param)

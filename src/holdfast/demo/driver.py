"""Asks a skin for its reports over HTTP, a few at a time, and times the answers.

http.client and connections that are kept open, so that what is measured is the app and not the client.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection, HTTPException
from itertools import islice
from typing import Final
from urllib.parse import urlsplit

from holdfast.demo.findings import Answer, Counts, Findings, Pass, Shared, Visit
from holdfast.demo.reports import PAGES
from holdfast.demo.skins import Skin

CONCURRENCY: Final = 2
WARM_PASSES: Final = 20
_WARM_BUDGET: Final = 5.0
"""Seconds after which no further warm pass begins; it is only reached where the cache does not answer."""
_PATIENCE: Final = 120.0
"""Seconds to wait for one answer."""


def tour(first: Skin, second: Skin) -> Findings:
    """Visit both skins; in between, see what the second can read of what the first has stored."""
    visits = [_visit(first)]
    shared = Shared(second.name, first.name, _ask_for_all(second, 1))
    _forget(second)
    visits.append(_visit(second))
    return Findings(tuple(visits), shared, first.watch.failure or second.watch.failure)


def _visit(skin: Skin) -> Visit:
    cold = _ask_for_all(skin, 1)
    return Visit(skin.name, cold, _ask_for_all(skin, WARM_PASSES))


def _forget(skin: Skin) -> None:
    # As the button on the page does.
    connection = _connect(skin)
    try:
        connection.request("POST", "/forget")
        connection.getresponse().read()
    finally:
        connection.close()


def _ask_for_all(skin: Skin, passes: int) -> Pass:
    before = _counts(skin)
    deadline = time.monotonic() + _WARM_BUDGET
    answers: list[Answer] = []
    with ThreadPoolExecutor(CONCURRENCY) as threads:
        for number in range(passes):
            if number and time.monotonic() > deadline:
                break
            shares = [[page.path for page in islice(PAGES, start, None, CONCURRENCY)] for start in range(CONCURRENCY)]
            for share in threads.map(partial(_ask, skin), shares):
                answers += share
    return Pass(tuple(answers), _counts(skin).since(before))


def _ask(skin: Skin, paths: Sequence[str]) -> list[Answer]:
    connection = _connect(skin)
    try:
        return [_answer(connection, path) for path in paths]
    finally:
        connection.close()


def _answer(connection: HTTPConnection, path: str) -> Answer:
    began = time.perf_counter()
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        status, body = response.status, response.read()
    except (OSError, HTTPException):
        connection.close()  # the next request opens it again
        status, body = 0, b""
    return Answer(path, status, body, time.perf_counter() - began)


def _connect(skin: Skin) -> HTTPConnection:
    return HTTPConnection(urlsplit(skin.address).netloc, timeout=_PATIENCE)


def _counts(skin: Skin) -> Counts:
    stats = skin.layer.stats()
    return Counts(skin.catalogue.queries, stats.hits, stats.misses)

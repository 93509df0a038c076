"""Every program in ``examples/`` runs as a newcomer would run it, with every warning an error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.topologies import Servers

FOLDER = Path(__file__).parent.parent / "examples"
_SLOW = r"Executing <.*> took [\d.]+ seconds"

WEB = """\
  the database is asked for kitchen
GET 200 in N ms: [{'name': 'Teapot', 'sold': 31}, {'name': 'Kettle', 'sold': 12}]
GET 200 in N ms: [{'name': 'Teapot', 'sold': 31}, {'name': 'Kettle', 'sold': 12}]
GET 200 in N ms: [{'name': 'Teapot', 'sold': 31}, {'name': 'Kettle', 'sold': 12}]
DELETE 200 in N ms: {'forgotten': True}
  the database is asked for kitchen
GET 200 in N ms: [{'name': 'Teapot', 'sold': 31}, {'name': 'Kettle', 'sold': 12}]
DELETE 200 in N ms: {'forgotten': True}
hits: 2, misses: 2
"""
FUNCTIONS = """\
  loading product 1
first call: Teapot
second call, from the cache: Teapot
by name, the same entry: 19.90
removed: True
  loading product 1
so it is loaded again: Teapot
  computing the discount of product 3
a method, on two instances: 0.30 0.30
async code reads what sync code has stored: Teapot
  loading product 2, async
and loads what nobody has stored: Kettle
hits: 4, misses: 4
"""
STAMPEDE = """\
  the sales of the kitchen are loaded
20 threads and 20 tasks: {31}
  the sales of the kitchen are loaded
invalidated by its tag: 32
made stale, the old value at once: 32 stale
  the sales of the kitchen are loaded
and a moment later: 33
loads: 3
"""
RATE_LIMITS = """\
ada finds a teapot
ada finds a kettle
ada finds a cup
and no more for 20 minutes
grace finds a spoon
an answer of 350 tokens; left: 650
an answer of 200 tokens; left: 450
no answer: too little left of per-day
both quotas: True
refused by: ('address',)
left of the other: 99
free: the export of ada
free: the export of ada
free: come back later
pro: the export of ada
slots that are left: 1
refused: 4
"""
LOCKS = """\
the report of Monday
the report of Monday is under way
the report of Tuesday
after ten transfers: {'ada': 0, 'grace': 100}
after twenty deposits: 20
nobody writes while two read
a rebuild that hung was cancelled
acquired: 46, busy: 2, lost: 1
"""
FENCED_STORE = """\
the first writer writes: True
the second writer writes: True
its token is higher: True
the first writer writes on: False
so there is: the page
and had it looked, it would have known
"""
HTTP_CACHE_FLASK = """\
  the app is asked for 7
GET en 200 holdfast;fwd=uri-miss;stored {"lang":"en","name":"Teapot"}
  the app is asked for 7
GET de 200 holdfast;fwd=vary-miss;stored {"lang":"de","name":"Teapot"}
GET en 200 holdfast;hit {"lang":"en","name":"Teapot"}
GET en 304 holdfast;hit no body
  the app is asked for 7
GET en 200 holdfast;fwd=uri-miss;stored {"lang":"en","name":"Big teapot"}
  the app is asked for 7
GET en 200 holdfast;fwd=uri-miss;stored {"lang":"en","name":"Big teapot"}
"""
HTTP_CACHE_FASTAPI = """\
  the app is asked for 7
a crowd: 20 answers, and 1 when they are compared
later: holdfast;hit: {'name': 'Teapot', 'price': 19.9}
with its ETag: 304
a part: 206 {"name":"
  the app is asked for 7
invalidated: holdfast;fwd=uri-miss;stored
private: None
"""
EXPECTED = {
    "fenced_store.py": FENCED_STORE,
    "functions.py": FUNCTIONS,
    "http_cache_fastapi.py": HTTP_CACHE_FASTAPI,
    "http_cache_flask.py": HTTP_CACHE_FLASK,
    "locks.py": LOCKS,
    "rate_limits.py": RATE_LIMITS,
    "stampede.py": STAMPEDE,
    "flask_app.py": WEB,
    "fastapi_app.py": WEB,
    "starlette_app.py": WEB,
}


def _run(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-W", "error", "-X", "dev", str(FOLDER / name)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return subprocess.run(
        words, capture_output=True, text=True, timeout=60, check=False, env={**inherited, **environment}
    )


def _complaints(stderr: str) -> str:
    """Return what a program wrote to stderr but for asyncio's notes about a slow machine, which -X dev brings."""
    return "".join(line for line in stderr.splitlines(keepends=True) if not re.fullmatch(_SLOW, line.strip()))


def test_every_example_is_run_here() -> None:
    """A new example comes with what it prints; the shops, which are served, have contract/test_shops.py."""
    found = [path.name for path in FOLDER.glob("*.py") if not path.name.startswith("shop_")]
    assert sorted(found) == sorted(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_prints_what_it_should_and_warns_of_nothing(name: str) -> None:
    """On the embedded backend: the lines that tell loads from hits, exit code 0, and nothing on stderr."""
    done = _run(name)
    assert (done.returncode, _complaints(done.stderr)) == (0, "")
    assert re.sub(r"in \d+ ms", "in N ms", done.stdout) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_prints_the_same_on_a_real_server_each_time(name: str, servers: Servers, namespace: str) -> None:
    """HOLDFAST_URL is all that it takes, and an example cleans up what it has stored."""
    for _ in range(2):
        done = _run(name, HOLDFAST_URL=servers.standalone().url, HOLDFAST_NAMESPACE=namespace)
        assert (done.returncode, _complaints(done.stderr)) == (0, "")
        assert re.sub(r"in \d+ ms", "in N ms", done.stdout) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_is_short(name: str) -> None:
    """Short enough to be read at one go."""
    assert len((FOLDER / name).read_text().splitlines()) <= 80

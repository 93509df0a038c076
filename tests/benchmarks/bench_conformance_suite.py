"""The public test suite for HTTP caches: fetched once into a cache folder, started, and asked for its results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from bench_conformance_processes import listening

NAME: Final = "http-cache-tests"
VERSION: Final = "0.4.5"
OTHERS: Final = {
    "squid": "Squid",
    "apache": "Apache httpd",
    "trafficserver": "Apache Traffic Server",
    "varnish": "Varnish",
    "nuster": "nuster",
    "nginx": "nginx",
    "fastly": "Fastly",
}
"""Whose results the package brings, by the name of the file: proxies and CDNs. Browsers are private caches."""
Verdict: TypeAlias = bool | list[str]
"""True, or the kind of a failure and its reason."""
_HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Case:
    """One test of the suite: its name, and its kind, which is ``required``, ``optimal`` or ``check``."""

    id: str
    kind: str


@dataclass(frozen=True, slots=True)
class Results:
    """What the suite said of one cache."""

    verdicts: dict[str, Verdict]
    """By test. One that was not tried is absent."""
    statuses: dict[str, int]
    """By test: the last status that the client got, if any."""


def fetch(folder: Path, patience: float = 300.0) -> Path:
    """Return where the suite lies, installed with npm where it is not there yet.

    Args:
        folder: where it is kept.
        patience: seconds that npm may take.

    Raises:
        RuntimeError: there is no node or npm, or npm failed; with its last line.
        subprocess.TimeoutExpired: npm took longer.
    """
    if not (shutil.which("node") and shutil.which("npm")):
        msg = "no node and npm on PATH: the suite is written in JavaScript"
        raise RuntimeError(msg)
    home = folder / f"{NAME}-{VERSION}"
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        words = ["npm", "install", "--prefix", str(home), "--ignore-scripts", "--no-audit", "--no-fund"]
        words += ["--no-package-lock", "--save-exact", f"{NAME}@{VERSION}"]
        done = subprocess.run(words, capture_output=True, check=False, timeout=patience, cwd=home)
        if done.returncode:
            line = (done.stderr.decode(errors="replace").strip().splitlines() or ["npm failed"])[-1]
            msg = f"not installed: {line}"
            raise RuntimeError(msg)
        (home / "complete").touch()
    return home / "node_modules" / NAME


@contextmanager
def origin(suite: Path) -> Generator[int, None, None]:
    """Run the suite's origin server for the time of a block, and give its port."""
    words = ["node", "--no-warnings", str(_HERE / "bench_conformance_origin.mjs"), str(suite)]
    told = {"npm_config_protocol": "http", "npm_config_port": "80", "npm_config_pidfile": os.devnull}
    with listening(words, {**os.environ, **told}) as port:
        yield port


def cases_of(suite: Path) -> tuple[Case, ...]:
    """Return the tests for shared caches, without those about Surrogate-Control, which is no standard."""
    return tuple(Case(each["id"], each["kind"]) for each in _ask(suite, 60.0)["tests"])


def run(suite: Path, port: int, patience: float) -> Results:
    """Run all tests through the proxy on a loopback port.

    Raises:
        subprocess.TimeoutExpired: it took more seconds than ``patience``.
        RuntimeError: the client failed; with its last line.
    """
    told = _ask(suite, patience, f"http://127.0.0.1:{port}")
    return Results(told["results"], told["statuses"])


def of_others(suite: Path) -> dict[str, Results]:
    """Return the results that the package brings, by the name of the cache."""
    return {
        name: Results(json.loads((suite / "results" / f"{file}.json").read_text("utf-8")), {})
        for file, name in OTHERS.items()
    }


def _ask(suite: Path, patience: float, *url: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        file = Path(folder) / "results.json"
        words = ["node", "--no-warnings", str(_HERE / "bench_conformance_client.mjs"), str(suite), str(file), *url]
        done = subprocess.run(words, capture_output=True, check=False, timeout=patience)
        if not file.exists():
            line = (done.stderr.decode(errors="replace").strip().splitlines() or ["it wrote nothing"])[-1]
            msg = f"the suite's client failed: {line}"
            raise RuntimeError(msg)
        told: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return told

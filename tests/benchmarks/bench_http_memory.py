"""What a server's memory does while long bodies stream through it, to clients that pause."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from bench_frame import describe
from bench_http_bare import MIB, STREAM
from bench_http_environments import python_with
from bench_http_load import HOST
from bench_http_processes import Served, serving
from bench_http_rows import Subject

CLIENTS: Final = 4
"""How many read at once."""
PATIENCE: Final = 60.0
_PAUSE: Final = 0.3
"""Seconds that each client stops reading after its first MiB: what is sent meanwhile must not pile up."""
_WARMING: Final = 4
"""MiB of the bodies that are asked for first, so that what a server needs once is there before it is weighed."""


@dataclass(frozen=True, slots=True)
class Case:
    """What the clients ask for."""

    name: str
    told: bool
    """Whether the app tells the length."""
    alike: bool
    """Whether all ask for one URL, so that a cache may let them wait for one another."""

    def target(self, mib: int, client: int) -> str:
        """Return what stands in the request line of a client."""
        return f"{STREAM}?mib={mib}&told={'yes' if self.told else 'no'}&client={0 if self.alike else client}"


CASES: Final = (
    Case("length told", told=True, alike=False),
    Case("length unknown", told=False, alike=False),
    Case("length unknown, one URL", told=False, alike=True),
)


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes of a server in memory, and how long the clients took."""

    case: str
    contender: str
    before: int
    peak: int
    after: int
    seconds: float

    @property
    def growth(self) -> int:
        """How much more than before it took at most."""
        return self.peak - self.before


def weigh(
    subjects: Mapping[str, Subject], redis_port: int, folder: Path, mib: int
) -> tuple[list[Weight], dict[str, str]]:
    """Return what each contender weighs in each case, and who failed."""
    weights: list[Weight] = []
    failures: dict[str, str] = {}
    for name, subject in subjects.items():
        try:
            python = python_with(subject.environment, folder)
            for case in CASES:  # a server of its own for each: memory that was used once is used again, unseen
                with serving(subject.server, subject.builder, redis_port, python) as server:
                    read_all(server.port, Case("", case.told, alike=False), _WARMING)
                    weights.append(_weigh(server, name, case, mib))
        except Exception as error:  # reported; the others go on
            failures[name] = describe(error)
    return sorted(weights, key=lambda one: [case.name for case in CASES].index(one.case)), failures


def _weigh(server: Served, name: str, case: Case, mib: int) -> Weight:
    before = server.memory()
    server.forget_peak()
    begun = time.perf_counter()
    read_all(server.port, case, mib)
    seconds = time.perf_counter() - begun
    return Weight(case.name, name, before, server.memory("VmHWM"), server.memory(), seconds)


def read_all(port: int, case: Case, mib: int) -> None:
    """Let all clients read their bodies at once.

    Raises:
        ValueError: a body was not as long as it should be, or no answer of status 200.
    """
    together = threading.Barrier(CLIENTS)
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda client: _read(port, case.target(mib, client), mib * MIB, together), range(CLIENTS)))


def _read(port: int, target: str, expected: int, together: threading.Barrier) -> None:
    connection = HTTPConnection(HOST, port, timeout=PATIENCE)
    room = bytearray(1 << 18)
    try:
        connection.connect()
        together.wait(PATIENCE)
        connection.request("GET", target)
        response = connection.getresponse()
        length = 0
        paused = False
        while count := response.readinto(room):
            length += count
            if length >= MIB and not paused:
                paused = True
                time.sleep(_PAUSE)
    finally:
        connection.close()
    if response.status != 200 or length != expected:
        msg = f"status {response.status} and {length} bytes of {expected}"
        raise ValueError(msg)


def render(weights: Sequence[Weight], failures: Mapping[str, str]) -> str:
    """Return the weights as a Markdown table."""
    lines = ["| body | contender | before, MiB | at most more, MiB | after, MiB | seconds |"]
    lines.append("|---|---|--:|--:|--:|--:|")
    lines += [
        f"| {one.case} | {one.contender} | {one.before / MIB:.0f} | {one.growth / MIB:.1f} | {one.after / MIB:.0f} "
        f"| {one.seconds:.1f} |"
        for one in weights
    ]
    lines += [f"| - | {name} | failed: {error.replace('|', '/')} | | | |" for name, error in failures.items()]
    return "\n".join(lines)

"""What the near cache costs: memory that is counted as it is, and work that does not grow with its entries."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from support.nearby import Nearby

MEASURED = """
import sys, tracemalloc
sys.path.insert(0, sys.argv[1])
from support.nearby import Nearby

near = Nearby(entries=10_000, bytes=1 << 30)
tracemalloc.start()
before = tracemalloc.get_traced_memory()[0]
{work}
print(near.size, tracemalloc.get_traced_memory()[0] - before)
"""
STORING = """
for number in range(3_000):
    near.store(
        f"shop:cache:{{größe:{number}}}",
        b"%200d" % number,
        f"value {number}",
        snapshot=near.snapshot(),
        now=float(number),
        expires=number + 1e6,
        fresh_until=number + 1e9,
        reader=None,
        tags=[f"category:{number}", f"owner:{number}"] if number % 2 else (),
    )
"""
BUMPING = """
for number in range(20_000):
    near.bump(f"k{number}")
    near.bump_tag(f"t{number}")
"""


def measured(work: str) -> list[int]:
    """Return the bytes that a near cache counts after some work, and those that were taken: in a process of its own.

    What other tests have left running in this one takes memory, too.
    """
    program = MEASURED.replace("{work}", work)
    command = [sys.executable, "-c", program, str(Path(__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return list(map(int, done.stdout.split()))


def test_the_counted_bytes_are_those_that_are_taken() -> None:
    """Never less than the truth, and not much more, with values, tags and texts of any script."""
    counted, taken = measured(STORING)
    assert taken <= counted <= 1.3 * taken


def test_bumps_take_no_memory() -> None:
    """However many keys and tags are invalidated: they are counted in a fixed number of places."""
    assert measured(BUMPING)[1] < 500_000


def steps(work: Callable[[], object]) -> int:
    """Count the lines that `work` runs."""
    lines = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    gc.collect()
    gc.disable()  # the destructors of others' objects have lines, too
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        gc.enable()
    return lines


def full(entries: int) -> Nearby:
    """Return a near cache without room, all of whose entries were used, and carry a tag."""
    near = Nearby(entries, bytes=1 << 30)
    for number in range(entries):
        near.keep(f"k{number}", b"raw", "t")
        near.raw(f"k{number}")
    return near


@pytest.mark.parametrize(
    "work",
    [
        lambda near: near.bump_tag("t"),
        lambda near: near.clear(),
        lambda near: near.suspend(),
        lambda near: near.resume(),
        lambda near: near.keep("new"),
        lambda near: (near.clear(), near.keep("new")),
        lambda near: near.bump("k7"),
    ],
)
def test_nothing_takes_longer_with_more_entries(work: Callable[[Nearby], object]) -> None:
    """No call walks over all entries, and none frees more than a few at once."""
    few, many = full(100), full(2_000)
    assert steps(lambda: work(few)) == steps(lambda: work(many))
    assert len(many) > 1_950

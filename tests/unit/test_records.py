"""Counters and hooks."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from holdfast.core.records import Counts, Recorder, Stats
from holdfast.errors import BackendTimeout, ConfigurationError
from holdfast.events import BackendFailed, Event, Hit


def test_counts_of_one_pattern_are_shared() -> None:
    """Functions with one key template have one tally; the layer's counts are the sum of all."""
    recorder = Recorder()
    recorder.tally("a").hits += 2
    recorder.tally("a").misses += 1
    recorder.tally("b").fills += 5
    assert recorder.stats() == Stats(2, 1, 5, patterns={"a": Counts(2, 1, 0, 0, 0, 0), "b": Counts(fills=5)})


@pytest.mark.parametrize(("hits", "misses", "ratio"), [(0, 0, 0.0), (0, 5, 0.0), (3, 1, 0.75), (7, 0, 1.0)])
def test_the_hit_ratio(hits: int, misses: int, ratio: float) -> None:
    """Hits over calls, and 0 where there were none."""
    assert Counts(hits, misses).hit_ratio == ratio


def test_stats_are_a_picture() -> None:
    """They do not change when the counters go on."""
    recorder = Recorder()
    before = recorder.stats()
    recorder.tally("a").hits += 1
    assert before == Stats()


def test_no_count_is_lost_between_threads() -> None:
    """Many threads, one counter: nothing is lost."""
    recorder = Recorder()

    def count() -> None:
        tally = recorder.tally("a")
        for _ in range(20_000):
            tally.hits += 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.stats().hits == 80_000


def test_every_hook_is_told_in_order() -> None:
    """Those from the start first; one that raises does not stop the others, and is logged without the event's parts."""
    told: list[tuple[str, Event]] = []

    def first(event: Event) -> None:
        told.append(("first", event))
        raise LookupError

    recorder = Recorder([first])
    recorder.add(lambda event: told.append(("second", event)))
    event = Hit("pattern", "key")
    recorder.emit(event)
    assert told == [("first", event), ("second", event)]


def test_what_a_hook_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback, under the name of the package."""

    def broken(event: Event) -> None:
        raise LookupError("why")

    with caplog.at_level(logging.ERROR, "holdfast"):
        Recorder([broken]).emit(Hit("pattern", "key"))
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("holdfast", "a hook failed on Hit")
    assert record.exc_info is not None


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_hook_is_no_failure_of_it(interrupt: type[BaseException]) -> None:
    """Who ends the program ends it, wherever it happens to be."""

    def hook(event: Event) -> None:
        raise interrupt

    with pytest.raises(interrupt):
        Recorder([hook]).emit(Hit("pattern", "key"))


@pytest.mark.parametrize("hook", [7, None, "text"])
def test_a_hook_is_a_function(hook: Any) -> None:
    """Anything else is refused when it is given."""
    with pytest.raises(ConfigurationError, match="hooks must be functions of one event, not"):
        Recorder([hook])
    with pytest.raises(ConfigurationError, match="hooks must be functions of one event, not"):
        Recorder().add(hook)


def test_a_failure_of_redis_is_counted_and_told() -> None:
    """With what was asked, the class of the error and its message."""
    told: list[Event] = []
    recorder = Recorder([told.append])
    recorder.backend_failed(recorder.tally("a"), "GET", BackendTimeout("no answer"))
    assert told == [BackendFailed("GET", "BackendTimeout: no answer")]
    assert recorder.stats().errors == 1

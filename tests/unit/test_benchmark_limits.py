"""The benchmark of limits, on made-up limiters: a limiter that does not limit must never be timed."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import fakeredis
import pytest

_FOLDER = str(Path(__file__).parents[1] / "benchmarks")
sys.path.insert(0, _FOLDER)  # the benchmark is a script with its modules beside it, not a package
try:
    import bench_limit_lineup as lineup
    import bench_limit_raw as raw
    import bench_limit_trial as trial
    import limit_hit
    from bench_frame import Row, Slice, Standing
    from bench_limit_memory import ASYNC_BUCKETS, SYNC_BUCKETS, Bucket, render_buckets
    from bench_limit_rows import ONE, ROWS
    from bench_sync_subjects import OURS
    from bench_table import splice
finally:
    sys.path.remove(_FOLDER)

Hit = Callable[[int], bool]
ADMITTED = next(row for row in ROWS if not row.refused)
REFUSED = next(row for row in ROWS if row.refused)


class Refused(Exception):  # noqa: N818 - named as the peers name theirs
    """What a made-up limiter raises."""


def counting(limit: int, *, shared: bool = False) -> Hit:
    """Return a hit that admits as many as its limit, for each user or for all together."""
    seen: Counter[int] = Counter()

    def hit(number: int) -> bool:
        seen[0 if shared else number] += 1
        return seen[0 if shared else number] <= limit

    return hit


def raising(hit: Hit) -> Callable[[int], int]:
    """Return a hit that raises where this one refuses."""

    def act(number: int) -> int:
        if not hit(number):
            raise Refused
        return number

    return act


def asynchronous(function: Callable[[int], Any] | None) -> Any:
    """Return the same as a coroutine function."""
    if function is None:
        return None

    async def awaited(number: int) -> Any:
        return function(number)

    return awaited


@pytest.fixture(params=["sync", "async"])
def judge(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Try a made-up limiter in each colour."""

    def try_sync(hit: Callable[[int], Any], *, probe: Hit | None = None, **options: Any) -> None:
        options.setdefault("admits", bool)
        trial.try_sync(trial.SyncLimiter(hit, close=lambda: None, probe=probe, **options))

    def try_async(hit: Callable[[int], Any], *, probe: Hit | None = None, **options: Any) -> None:
        options.setdefault("admits", bool)
        close: Callable[[], Awaitable[None]] = asynchronous(lambda _: None)
        limiter = trial.AsyncLimiter(asynchronous(hit), close=close, probe=asynchronous(probe), **options)
        asyncio.run(trial.try_async(limiter))

    return try_sync if request.param == "sync" else try_async


def test_a_limiter_that_limits_may_compete(judge: Callable[..., None]) -> None:
    """Exactly the quota passes, a refusal may be an exception, and one bucket for all may be said beforehand."""
    judge(counting(trial.FEW))
    judge(raising(counting(trial.FEW)), admits=None, refusal=Refused)
    judge(counting(trial.FEW, shared=True), keyed=False)


@pytest.mark.parametrize("admitted", [0, trial.FEW - 1, trial.FEW + 1, 10**6])
def test_a_limiter_that_admits_another_number_has_failed(judge: Callable[..., None], admitted: int) -> None:
    """One less or one more, everything or nothing: none of it is a limit of seven."""
    with pytest.raises(ValueError, match="within the quota"):
        judge(counting(admitted))


def test_a_limiter_that_lets_others_pay_has_failed(judge: Callable[..., None]) -> None:
    """Who says that each user has a bucket is held to it."""
    with pytest.raises(ValueError, match="who had made no hit"):
        judge(counting(trial.FEW, shared=True))


def test_one_that_waits_is_asked_without_waiting(judge: Callable[..., None]) -> None:
    """Hits beyond the quota go to the probe, which counts in the same bucket."""
    hit = counting(trial.FEW, shared=True)
    asked: list[int] = []

    def wait(number: int) -> bool:
        asked.append(number)
        return hit(number)

    judge(wait, probe=hit, keyed=False)
    assert len(asked) == trial.FEW
    with pytest.raises(ValueError, match="5 of 5 more"):
        judge(counting(trial.FEW), probe=lambda _: True)


def test_another_error_is_no_refusal(judge: Callable[..., None]) -> None:
    """An error that nobody announced ends the trial."""

    def break_down(_: int) -> bool:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        judge(break_down, refusal=Refused)


@pytest.mark.parametrize(("scripts", "increments"), [(10, 0), (0, 10), (10, 10)])
def test_a_slice_in_which_the_server_was_asked_counts(scripts: int, increments: int) -> None:
    """Scripts or plain counting, at least as many as hits."""
    counts = iter([(5, 500), (5 + scripts, 500 + increments)])
    turn = Slice(10, 1.0, 1.0)
    assert lineup.see_asked(ADMITTED, lambda: turn, lambda: next(counts)) is turn


def test_a_slice_that_was_answered_without_the_server_has_failed() -> None:
    """Half of each is not one for each hit; a denial need not ask."""

    def see(row: lineup.LimitRow) -> Slice:
        counts = iter([(0, 0), (9, 9)])
        return lineup.see_asked(row, lambda: Slice(10, 1.0, 1.0), lambda: next(counts))

    with pytest.raises(RuntimeError, match="asked 9 times for 10 hits"):
        see(ADMITTED)
    assert see(REFUSED).operations == 10


def test_the_answer_after_a_slice_is_what_the_row_is_about() -> None:
    """A row of refusals in which somebody is admitted is as wrong as the opposite."""
    lineup.see_limiting(ADMITTED, admitted=True)
    lineup.see_limiting(REFUSED, admitted=False)
    with pytest.raises(RuntimeError, match="within the quota"):
        lineup.see_limiting(ADMITTED, admitted=False)
    with pytest.raises(RuntimeError, match="nothing left"):
        lineup.see_limiting(REFUSED, admitted=True)


def test_every_row_has_us_a_baseline_and_peers() -> None:
    """Nobody can be left out of a row unnoticed, and each promise is about a row that exists."""
    names = [row.load.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert set(limit_hit.TARGETS) <= set(names)
    for row in ROWS:
        assert {OURS, row.baseline} <= set(row.builders)
        assert row.baseline == ONE or len(row.builders) > 3
        assert row.limit == (trial.FEW if row.refused else lineup.PLENTY)
    assert {row.load.colour for row in ROWS if row.refused} == {"sync", "async"}


def test_the_baseline_is_a_correct_limiter() -> None:
    """Its script admits the burst and no more, tells the truth about what is left, and its key goes away."""
    client = fakeredis.FakeRedis()
    emission = raw.PERIOD * 1_000_000 // 7
    replies: list[Any] = [client.eval(raw.GCRA, 1, "k", str(emission), "7", "1") for _ in range(9)]
    assert [reply[:2] for reply in replies] == [[1, left] for left in (6, 5, 4, 3, 2, 1, 0)] + [[0, 0]] * 2
    assert all(reply[2] == 0 for reply in replies[:7])
    assert all(emission - 10_000_000 < reply[2] <= emission for reply in replies[7:])
    assert all(6 * emission < reply[3] <= 7 * emission for reply in replies[6:])
    assert 0 < client.pttl("k") <= raw.PERIOD * 1000
    dear: list[Any] = [client.eval(raw.GCRA, 1, "other", str(emission), "7", cost) for cost in ("8", "5", "3", "2")]
    assert [reply[:2] for reply in dear] == [[0, 7], [1, 2], [0, 2], [1, 0]]


def row(name: str, ratio: float, micros: float = 1.0, failures: dict[str, str] | None = None) -> Row:
    """Return a finished row in which only we competed."""
    return Row(name, raw.RAW, (Standing(OURS, ratio, ratio, ratio, ratio, micros, micros, 1),), failures or {})


def test_a_slow_denial_is_named() -> None:
    """Five microseconds are promised where a key is refused, and only there."""
    name = REFUSED.load.name
    assert limit_hit.slow_denials([row(name, 0.1, 5.0), row(ADMITTED.load.name, 0.1, 90.0)]) == []
    assert limit_hit.slow_denials([row(name, 0.1, 5.1)]) == [f"{name}: {OURS} took 5.1 us, the target is 5.0"]
    assert len(limit_hit.slow_denials([row(name, 0.1, float("nan"))])) == 1


def test_buckets_are_weighed_beside_their_kind() -> None:
    """The table shows each bucket, and a failure as a line."""
    text = render_buckets([Bucket("a: GCRA", 1, 64, 65)], {"b: GCRA": "OSError: a|b"})
    assert "| a: GCRA | 1 | 64 | 65 |" in text
    assert "| b: GCRA | failed: OSError: a/b | | |" in text
    kinds = {name.rpartition(": ")[2] for name in (*SYNC_BUCKETS, *ASYNC_BUCKETS)}
    assert all(f"{OURS}: {kind}" in SYNC_BUCKETS for kind in kinds)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Row]:
    """Let the script run without a server, with rows that are known beforehand."""
    monkeypatch.setattr("bench_server.find_server", Path)
    monkeypatch.setattr("bench_server.running", nullcontext)
    monkeypatch.setattr("bench_server.version", lambda _port: "7.0")
    monkeypatch.setattr(limit_hit, "weigh", lambda _port: ([Bucket("a: GCRA", 1, 64, 65)], {}))
    rows = {each.load.name: row(each.load.name, 0.1) for each in ROWS}
    monkeypatch.setattr(limit_hit, "_measure", lambda each, _port, _options: rows[each.load.name])
    return rows


def test_the_exit_code_tells_failures_and_missed_targets(
    measured: dict[str, Row], capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure always fails the run; a missed target only where it was asked for."""
    assert limit_hit.main(["--check"]) == 0
    for name, target in limit_hit.TARGETS.items():
        measured[name] = row(name, target + 0.01)
    measured[REFUSED.load.name] = row(REFUSED.load.name, 0.1, 6.0)
    assert limit_hit.main([]) == 0
    assert limit_hit.main(["--check"]) == 1
    told = capsys.readouterr().err
    assert all(f"{target:.2f}" in told for target in limit_hit.TARGETS.values())
    assert "took 6.0 us" in told
    measured[ADMITTED.load.name] = row(ADMITTED.load.name, 0.1, failures={"peer": "OSError"})
    assert limit_hit.main([]) == 1
    assert "peer failed: OSError" in capsys.readouterr().err


def test_a_page_gets_complete_runs_in_its_own_place(measured: dict[str, Row], tmp_path: Path) -> None:
    """A run in which somebody failed changes nothing, and no run changes what others put on the page."""
    page = tmp_path / "page.md"
    text = "<!-- cache_hit:begin -->other<!-- cache_hit:end -->\n<!-- limit_hit:begin -->former<!-- limit_hit:end -->"
    page.write_text(text)
    measured[REFUSED.load.name] = row(REFUSED.load.name, 0.1, failures={"peer": "OSError"})
    assert limit_hit.main(["--markdown", str(page)]) == 1
    assert page.read_text() == text
    measured[REFUSED.load.name] = row(REFUSED.load.name, 0.1)
    assert limit_hit.main(["--markdown", str(page), "--json", str(tmp_path / "figures.json")]) == 0
    assert page.read_text().startswith("<!-- cache_hit:begin -->other<!-- cache_hit:end -->\n<!-- limit_hit:begin -->")
    assert "former" not in page.read_text()
    assert "| a: GCRA | 1 | 64 | 65 |" in page.read_text()
    assert '"wall_ratio": 0.1' in (tmp_path / "figures.json").read_text()


def test_what_could_not_be_weighed_fails_the_run(
    measured: dict[str, Row], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bucket that is missing in the table is told."""
    monkeypatch.setattr(limit_hit, "weigh", lambda _port: ([], {"a: GCRA": "OSError"}))
    assert limit_hit.main([]) == 1
    assert "memory: a: GCRA failed: OSError" in capsys.readouterr().err


def test_the_published_page_has_its_place_for_the_tables() -> None:
    """The page in docs/ and the script agree on the comments."""
    page = Path(__file__).parents[2] / "docs" / "benchmarks.md"
    assert "\nfigures\n" in splice(page.read_text("utf-8"), "limit_hit", "figures")


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(
    "words",
    [
        ["--rounds", "0"],
        ["--slice-ms", "0"],
        ["--only", "nobody"],
        ["--row", "none"],
        ["--markdown", "page.md", "--row", "sync"],
        ["--markdown", "page.md", "--only", OURS],
    ],
)
def test_options_that_cannot_work_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped name must not silently measure nothing, nor a part replace a page's whole."""
    with pytest.raises(SystemExit) as stop:
        limit_hit.main(words)
    assert stop.value.code == 2
    assert words[0] in capsys.readouterr().err

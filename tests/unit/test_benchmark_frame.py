"""The benchmark's arithmetic, on made-up contenders: nothing here depends on how fast the machine is."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from random import Random
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

_FOLDER = str(Path(__file__).parents[1] / "benchmarks")
sys.path.insert(0, _FOLDER)  # the benchmark is a script with its modules beside it, not a package
try:
    import bench_lineup
    import cache_hit
    from bench_frame import Contender, Row, Slice, Standing, compare
    from bench_product import PRODUCT, SIZE, Source
    from bench_slices import from_tasks, from_threads
    from bench_table import failed, missed, render, splice
finally:
    sys.path.remove(_FOLDER)


@pytest.fixture(autouse=True, scope="module")
def garbage() -> Iterator[None]:
    """Leave the garbage of other tests alone: where there is much of it, collecting it takes seconds each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gc.collect", lambda: 0)
        yield


def scripted(name: str, walls: list[float], operations: int = 10, cpu: float = 1.0) -> Contender:
    """Return a contender whose slices are known beforehand."""
    turns: Iterator[float] = iter(walls)
    return Contender(name, lambda _: Slice(operations, next(turns), cpu))


def failing(name: str, error: Exception) -> Contender:
    """Return a contender that raises."""

    def measure(_: float) -> Slice:
        raise error

    return Contender(name, measure)


def run(*contenders: Contender, rounds: int = 3, chance: Random | None = None) -> Row:
    """Compare contenders with the one called base."""
    return compare("row", contenders, baseline="base", rounds=rounds, seconds=0.01, chance=chance or Random(1))


def standing(name: str, ratio: float) -> Standing:
    """Return a standing of which only the ratio matters."""
    return Standing(name, ratio, ratio, ratio, ratio, 1.0, 1.0, 1)


def row(**ratios: float) -> Row:
    """Return a finished row with these ratios."""
    return Row("row", "base", tuple(standing(name, ratio) for name, ratio in ratios.items()), {})


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    """Each round is compared with its own baseline: 2/1, 3/10, 40/40 have the median 1, the medians' ratio is 0.3."""
    result = run(scripted("base", [1, 10, 40]), scripted("mine", [2, 3, 40])).standing("mine")
    assert result is not None
    assert result.wall_ratio == pytest.approx(1.0)
    assert (result.lowest, result.highest) == pytest.approx((0.3, 2.0))


def test_ratios_are_per_operation() -> None:
    """A contender that does twice as much in the same time takes half the time, in wall and in CPU."""
    result = run(scripted("base", [1, 1, 1], 10), scripted("mine", [1, 1, 1], 20)).standing("mine")
    assert result is not None
    assert (result.wall_ratio, result.cpu_ratio) == pytest.approx((0.5, 0.5))
    assert (result.wall_us, result.cpu_us) == pytest.approx((50_000, 50_000))
    assert result.operations == 20


def test_wall_and_cpu_are_told_apart() -> None:
    """Waiting shows in the wall time only."""
    result = run(scripted("base", [1, 1, 1], cpu=1), scripted("mine", [3, 3, 3], cpu=0.5)).standing("mine")
    assert result is not None
    assert (result.wall_ratio, result.cpu_ratio) == pytest.approx((3.0, 0.5))


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(0.001, 10), st.floats(0.001, 10)), min_size=1, max_size=9))
def test_the_baseline_is_one_and_ratios_lie_between_their_extremes(turns: list[tuple[float, float]]) -> None:
    """Whatever the slices, the baseline stands at 1 and a median is between the lowest and the highest round."""
    base, mine = [one for one, _ in turns], [other for _, other in turns]
    result = run(scripted("base", base), scripted("mine", mine), rounds=len(turns))
    first, second = result.standing("base"), result.standing("mine")
    assert first is not None
    assert second is not None
    assert first.wall_ratio == 1.0
    assert second.lowest <= second.wall_ratio <= second.highest
    assert second.wall_ratio == pytest.approx(median(other / one for one, other in turns))


def test_standings_are_sorted_by_speed() -> None:
    """The fastest comes first."""
    result = run(scripted("base", [2] * 3), scripted("slow", [3] * 3), scripted("fast", [1] * 3))
    assert [each.name for each in result.standings] == ["fast", "base", "slow"]


def test_every_round_draws_an_order_and_gives_each_one_turn() -> None:
    """Nobody always runs first or after the same neighbour, and nobody is left out of a round."""
    seen: list[str] = []

    def note(name: str) -> Contender:
        def measure(_: float) -> Slice:
            seen.append(name)
            return Slice(1, 1.0, 1.0)

        return Contender(name, measure)

    run(*(note(name) for name in ("base", "b", "c", "d")), rounds=20)
    orders = [tuple(seen[start : start + 4]) for start in range(0, 80, 4)]
    assert all(sorted(order) == ["b", "base", "c", "d"] for order in orders)
    assert len(set(orders)) > 5
    assert len({order[0] for order in orders}) == 4


def test_a_contender_that_raises_is_reported_and_the_others_finish() -> None:
    """An error takes one contender out of the row, by name and with its reason, and is not asked again."""
    asked: list[float] = []

    def measure(seconds: float) -> Slice:
        asked.append(seconds)
        raise OSError("no route\nmore")

    result = run(scripted("base", [1] * 3), Contender("bad", measure), scripted("good", [1] * 3))
    assert len(asked) == 1
    assert result.failures == {"bad": "OSError: no route"}
    assert result.standing("bad") is None
    assert {each.name for each in result.standings} == {"base", "good"}
    assert failed([result]) == ["row: bad failed: OSError: no route"]


def test_a_contender_that_fails_late_has_no_result() -> None:
    """Rounds before the error do not count: there is no standing over fewer rounds than the others had."""
    result = run(scripted("base", [1] * 3), scripted("bad", [1]))
    assert result.standing("bad") is None
    assert "bad" in result.failures


def test_a_slice_without_an_operation_is_a_failure() -> None:
    """There is no time per operation where none was completed."""
    result = run(scripted("base", [1] * 3), scripted("idle", [1] * 3, operations=0))
    assert result.failures == {"idle": "completed no operation in a slice"}


def test_without_the_baseline_nobody_stands() -> None:
    """Ratios to a baseline that failed would be invented."""
    result = run(failing("base", OSError("gone")), scripted("mine", [1] * 3))
    assert result.standings == ()
    assert result.failures == {"base": "OSError: gone"}
    assert run(scripted("mine", [1] * 3)).failures == {"base": "the baseline did not compete"}


def test_a_run_that_cannot_mean_anything_is_refused() -> None:
    """No rounds, or two contenders that could not be told apart."""
    with pytest.raises(ValueError, match="0 rounds"):
        run(scripted("base", []), rounds=0)
    with pytest.raises(ValueError, match="different names"):
        run(scripted("base", [1]), scripted("base", [1]), rounds=1)


@pytest.mark.parametrize(
    ("ratios", "target", "expected"),
    [
        ({"ours": 0.5, "base": 1.0, "peer": 0.9}, 0.5, []),
        ({"ours": 0.51, "base": 1.0}, 0.5, ["row: ours took 0.51 x baseline, the target is 0.50"]),
        ({"ours": 0.4, "peer": 0.4, "base": 1.0}, 0.5, ["row: ours took 0.40 x baseline, peer 0.40"]),
        ({"ours": 3.0, "base": 1.0}, None, []),
        ({"ours": float("nan"), "base": 1.0}, 0.5, ["row: ours took nan x baseline, the target is 0.50"]),
        ({"base": 1.0}, None, ["row: ours has no result"]),
    ],
)
def test_missed_targets_are_named(ratios: dict[str, float], target: float | None, expected: list[str]) -> None:
    """We must be within the target and faster than each peer; equal is not faster, and absent is not good enough."""
    targets = {} if target is None else {"row": target}
    assert missed([row(**ratios)], "ours", targets) == expected


def test_the_table_shows_results_and_failures() -> None:
    """The baseline is bold, and a failure is a line of the table, not a gap."""
    text = render([run(scripted("base", [1] * 3), scripted("mine", [0.5] * 3), failing("bad", OSError("a|b")))])
    assert "| mine | 0.50 | 0.50 to 0.50 | 1.00 | 50000.0 | 100000.0 | 10 |" in text
    assert "| **base** | **1.00** |" in text
    assert "| bad | failed: OSError: a/b |" in text


def test_splicing_replaces_only_what_is_between_the_comments() -> None:
    """The rest of the page stays as it was, however often the tables are replaced."""
    page = "head\n<!-- t:begin -->\nold\n<!-- t:end -->\ntail <!-- u:begin --> other <!-- u:end -->\n"
    once = splice(page, "t", "new\n")
    assert once == page.replace("\nold\n", "\n\nnew\n\n")
    assert splice(once, "t", "new\n") == once


@pytest.mark.parametrize("page", ["", "<!-- t:begin -->", "<!-- t:end --><!-- t:begin -->", "<!-- t:begin -->" * 2])
def test_a_page_without_its_comments_is_left_alone(page: str) -> None:
    """Tables are never put in a place that nobody marked."""
    with pytest.raises(ValueError, match="t:begin"):
        splice(page, "t", "new")


def test_a_slice_of_threads_counts_every_call() -> None:
    """Operations are the calls after the start; each thread keeps to its own numbers and has its context."""
    calls: list[tuple[int, int]] = []
    entered: list[int] = []

    def around() -> nullcontext[None]:
        entered.append(threading.get_ident())
        return nullcontext()

    result = from_threads(lambda number: calls.append((threading.get_ident(), number)), [[1, 2], [3]], 0.005, around)
    assert result.operations == len(calls) - 2  # one call each before the start
    assert result.wall >= 0.005
    assert len(entered) == 2
    by_thread = {thread: {number for who, number in calls if who == thread} for thread in entered}
    assert all(numbers <= {1, 2} or numbers == {3} for numbers in by_thread.values())


@pytest.mark.parametrize("plans", [[[1]], [[1], [2], [1]]])
def test_an_error_in_a_thread_reaches_the_caller(plans: list[list[int]]) -> None:
    """A thread that fails, even before the start, ends the slice instead of hanging it."""

    def fetch(number: int) -> None:
        if number == 1:
            raise OSError("refused")

    with pytest.raises(OSError, match="refused"):
        from_threads(fetch, plans, 0.005)


def test_a_slice_of_tasks_counts_every_call() -> None:
    """Tasks run side by side, and operations are the calls after the start."""
    calls: list[int] = []

    async def fetch(number: int) -> None:
        calls.append(number)
        await asyncio.sleep(0)

    result = asyncio.run(from_tasks(fetch, [[1, 2], [3]], 0.005))
    assert result.operations == len(calls) - 2
    assert calls[:2] == [1, 3]
    assert set(calls) == {1, 2, 3}


def test_an_error_in_a_task_ends_the_slice() -> None:
    """One task's error is raised, and no task is left running."""
    count = 0

    async def fetch(_: int) -> None:
        nonlocal count
        count += 1
        await asyncio.sleep(0)
        if count > 5:
            raise OSError("refused")

    async def measure() -> int:
        with pytest.raises(OSError, match="refused"):
            await from_tasks(fetch, [[1], [2]], 5)
        return len(asyncio.all_tasks())

    assert asyncio.run(measure()) == 1


def test_workers_share_no_entry_unless_it_is_the_hot_one() -> None:
    """Only the hot row may profit from sharing a call."""
    for load in bench_lineup.LOADS:
        numbers = [number for plan in load.plans() for number in plan]
        assert len(load.plans()) == load.workers
        assert sorted(numbers) == ([0] * load.workers if load.hot else list(range(64)))


def lineup_of(fetch: Callable[[int, Source], object]) -> tuple[list[str], dict[str, str]]:
    """Run one slice of a made-up subject, and return who was ready and who failed."""
    source = Source()
    subject = bench_lineup.SyncSubject(lambda number: fetch(number, source), source, lambda: None)  # type: ignore[arg-type, return-value]
    with bench_lineup.sync_lineup({"base": lambda _: subject}, bench_lineup.LOADS[0], 0) as lineup:
        result = run(*lineup.contenders)
        return [each.name for each in result.standings], {**result.failures, **lineup.failures}


def test_a_subject_that_hits_may_compete() -> None:
    """Equal values and a loader at rest are all that is asked; filling the entries loads each once."""
    filled: set[int] = set()

    def fetch(number: int, source: Source) -> object:
        if number in filled:
            return PRODUCT
        filled.add(number)
        return source.load()

    assert lineup_of(fetch) == (["base"], {})
    assert len(filled) == 64


def test_a_subject_that_loads_again_has_failed() -> None:
    """What is not a hit must not be measured as one."""
    ready, failures = lineup_of(lambda _number, source: source.load())
    assert ready == []
    assert "the loader ran 64 times on warm entries" in failures["base"]


def test_a_subject_that_starts_to_load_later_has_failed() -> None:
    """The loader is watched in every slice, not only while warming up."""
    calls = itertools.count()
    ready, failures = lineup_of(lambda _number, source: PRODUCT if next(calls) < 130 else source.load())
    assert ready == []
    assert "on warm entries" in failures["base"]


@pytest.mark.parametrize("wrong", [None, {**PRODUCT, "stock": 0}, list(PRODUCT)])
def test_a_subject_that_returns_something_else_has_failed(wrong: object) -> None:
    """A fast wrong answer does not compete."""
    ready, failures = lineup_of(lambda _number, _source: wrong)
    assert ready == []
    assert "did not come back as the product" in failures["base"]


def test_the_loader_gives_what_is_compared() -> None:
    """The source's copies are equal to the product, 342 bytes, and not shared."""
    source = Source()
    first = source.load()
    assert first == PRODUCT
    assert first["tags"] is not PRODUCT["tags"]
    assert (source.loads, SIZE) == (1, 342)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[Row], None]:
    """Let the script run without a server, with a row that is known beforehand."""
    monkeypatch.setattr("bench_server.find_server", Path)
    monkeypatch.setattr("bench_server.running", nullcontext)
    monkeypatch.setattr("bench_server.version", lambda _port: "7.0")
    return lambda result: monkeypatch.setattr(cache_hit, "_measure", lambda _load, _port, _options: result)


def test_the_exit_code_tells_failures_and_missed_targets(
    measured: Callable[[Row], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure always fails the run; a missed target only where it was asked for."""
    words = ["--row", "1 thread"]
    slow = Row("sync, 1 thread", cache_hit.BASELINE, (standing(cache_hit.OURS, 0.61),), {})
    measured(slow)
    assert cache_hit.main(words) == 0
    assert cache_hit.main([*words, "--check"]) == 1
    assert "the target is 0.60" in capsys.readouterr().err
    measured(Row("sync, 1 thread", cache_hit.BASELINE, slow.standings, {"peer": "OSError"}))
    assert cache_hit.main(words) == 1
    assert "peer failed: OSError" in capsys.readouterr().err


def test_a_page_gets_the_tables_of_a_complete_run_only(measured: Callable[[Row], None], tmp_path: Path) -> None:
    """A run in which somebody failed does not replace what a page shows."""
    page = tmp_path / "page.md"
    page.write_text("<!-- cache_hit:begin -->former<!-- cache_hit:end -->")
    good = Row("sync, 1 thread", cache_hit.BASELINE, (standing(cache_hit.OURS, 0.5),), {})
    measured(Row(good.name, good.baseline, good.standings, {"peer": "OSError"}))
    assert cache_hit.main(["--markdown", str(page)]) == 1
    assert "former" in page.read_text()
    measured(good)
    assert cache_hit.main(["--markdown", str(page), "--json", str(tmp_path / "figures.json")]) == 0
    assert "| holdfast | 0.50 |" in page.read_text()
    assert '"wall_ratio": 0.5' in (tmp_path / "figures.json").read_text()


def test_the_published_page_has_its_place_for_the_tables() -> None:
    """The page in docs/ and the script agree on the comments."""
    page = Path(__file__).parents[2] / "docs" / "benchmarks.md"
    assert "\nfigures\n" in splice(page.read_text("utf-8"), "cache_hit", "figures")


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--slice-ms", "0"], ["--only", "nobody"], ["--row", "none"]])
def test_options_that_cannot_work_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped name must not silently measure nothing."""
    with pytest.raises(SystemExit) as stop:
        cache_hit.main(words)
    assert stop.value.code == 2
    assert words[0] in capsys.readouterr().err

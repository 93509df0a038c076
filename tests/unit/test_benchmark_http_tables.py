"""What the benchmark of HTTP caches says of its results: tables, promises, exit codes and the page."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

_FOLDER = str(Path(__file__).parents[1] / "benchmarks")
sys.path.insert(0, _FOLDER)  # the benchmark is a script with its modules beside it, not a package
try:
    import bench_http_memory as memory
    import bench_http_table as table
    import bench_http_trial as trial
    import http_hit
    import http_stream
    from bench_frame import Row, Standing
    from bench_http_rows import BARE_ASGI, BARE_WSGI, FASTAPI, NO_PEERS, OURS_MEMORY, ROWS, SUBJECTS
    from bench_http_serve import SERVERS
    from bench_sync_subjects import OURS
    from bench_table import splice
finally:
    sys.path.remove(_FOLDER)


def test_every_row_has_us_a_baseline_and_a_promise() -> None:
    """Nobody can be left out of a row unnoticed; the bare app is the baseline, and no peer."""
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    for row in ROWS:
        assert {OURS, row.baseline} <= set(row.subjects) <= http_hit.BENCHMARK.everybody
        assert row.subjects[row.baseline].bare
        assert row.target == {trial.Kind.PASS: 0.85, trial.Kind.MISS: 0.85}.get(
            row.kind, 1.5 if "ASGI" in row.name else 1.2
        )
        assert all(subject.server in SERVERS for subject in row.subjects.values())
    for name in ("hishel", "asgi-caches", "fastapi-cache2", "fastapi-redis-sdk", "cashews"):
        assert name in ROWS[0].subjects
    assert {name for name, subject in SUBJECTS.items() if subject.environment} == {"asgi-caches", "fastapi-cache2"}


def standing(name: str, ratio: float) -> Standing:
    """Return a result with a ratio of time a request."""
    return Standing(name, ratio, ratio, ratio, ratio, 100.0 * ratio, 50.0 * ratio, 1)


def row(name: str, ratios: dict[str, float], failures: dict[str, str] | None = None, baseline: str = BARE_ASGI) -> Row:
    """Return a finished row."""
    return Row(name, baseline, tuple(standing(each, ratio) for each, ratio in ratios.items()), failures or {})


def test_ratios_are_of_requests_a_second() -> None:
    """Half the time is twice the requests; the baseline is bold, and a failure is a line."""
    text = table.render([row("a row", {BARE_ASGI: 1.0, OURS: 0.5}, {"peer": "OSError: a|b"})])
    assert f"| {OURS} | 2.00 | 2.00 to 2.00 | 0.50 | 20000 | 25 |" in text
    assert f"| **{BARE_ASGI}** | **1.00** |" in text
    assert "| peer | failed: OSError: a/b | | | | |" in text


def test_what_is_promised_is_held_against_the_row() -> None:
    """Fewer requests than promised, or than a peer's, are told; another app without a cache is no peer."""
    hit = ROWS[0].name
    assert (
        table.missed([row(hit, {BARE_ASGI: 1.0, OURS: 1 / 1.5, FASTAPI: 0.1, OURS_MEMORY: 0.1})], ROWS, NO_PEERS) == []
    )
    assert "served 1.49 x bare, the target is 1.50" in table.missed([row(hit, {OURS: 1 / 1.49})], ROWS, NO_PEERS)[0]
    assert "hishel 3.00" in table.missed([row(hit, {OURS: 0.5, "hishel": 1 / 3})], ROWS, NO_PEERS)[0]
    assert len(table.missed([row(hit, {OURS: float("nan")})], ROWS, NO_PEERS)) == 1
    assert table.missed([row(hit, {BARE_ASGI: 1.0})], ROWS, NO_PEERS) == [f"{hit}: {OURS} has no result"]
    assert {OURS, OURS_MEMORY, FASTAPI} == NO_PEERS


def test_peers_count_where_a_cache_answers() -> None:
    """At a miss or a POST they do not do the same as we do; what is promised holds all the same."""
    for each in ROWS:
        peer = {OURS: 1 / 3, "peer": 0.1}
        counts = each.kind in (trial.Kind.HIT, trial.Kind.MATCH)
        assert len(table.missed([row(each.name, peer)], ROWS, NO_PEERS)) == (1 if counts else 0)
        assert len(table.missed([row(each.name, {OURS: 10.0})], ROWS, NO_PEERS)) == 1


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Row]:
    """Let the script run without servers, with rows that are known beforehand."""
    monkeypatch.setattr("bench_server.find_server", Path)
    monkeypatch.setattr("bench_server.running", nullcontext)
    monkeypatch.setattr("bench_server.version", lambda _port: "7.0")
    rows = {each.name: row(each.name, {OURS: 0.5}) for each in ROWS}
    monkeypatch.setattr("bench_http_run._measure", lambda _benchmark, each, _port, _options: rows[each.name])
    return rows


def test_the_exit_code_tells_failures_and_missed_targets(
    measured: dict[str, Row], capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure always fails the run; a missed target only where it was asked for."""
    assert http_hit.main(["--check"]) == 0
    measured[ROWS[0].name] = row(ROWS[0].name, {OURS: 1.0})
    assert http_hit.main([]) == 0
    assert http_hit.main(["--check"]) == 1
    assert "the target is 1.50" in capsys.readouterr().err
    measured[ROWS[1].name] = row(ROWS[1].name, {OURS: 0.5}, {"peer": "OSError"})
    assert http_hit.main([]) == 1
    assert "peer failed: OSError" in capsys.readouterr().err


def test_a_page_gets_complete_runs_in_its_own_place(measured: dict[str, Row], tmp_path: Path) -> None:
    """A run in which somebody failed changes nothing, and no run changes what others put on the page."""
    page = tmp_path / "page.md"
    text = "<!-- cache_hit:begin -->other<!-- cache_hit:end -->\n<!-- http_hit:begin -->former<!-- http_hit:end -->"
    page.write_text(text)
    complete, measured[ROWS[0].name] = measured[ROWS[0].name], row(ROWS[0].name, {OURS: 0.5}, {"peer": "OSError"})
    assert http_hit.main(["--markdown", str(page)]) == 1
    assert page.read_text() == text
    measured[ROWS[0].name] = complete
    assert http_hit.main(["--markdown", str(page), "--json", str(tmp_path / "figures.json")]) == 0
    assert page.read_text().startswith("<!-- cache_hit:begin -->other<!-- cache_hit:end -->\n<!-- http_hit:begin -->")
    assert "former" not in page.read_text()
    assert '"wall_ratio": 0.5' in (tmp_path / "figures.json").read_text()


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(
    "words",
    [
        ["--rounds", "0"],
        ["--slice-ms", "0"],
        ["--only", "nobody"],
        ["--row", "none"],
        ["--markdown", "page.md", "--row", "ASGI"],
        ["--markdown", "page.md", "--only", OURS],
    ],
)
def test_options_that_cannot_work_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped name must not silently measure nothing, nor a part replace a page's whole."""
    with pytest.raises(SystemExit) as stop:
        http_hit.main(words)
    assert stop.value.code == 2
    assert words[0] in capsys.readouterr().err


def weight(contender: str, growth: int) -> memory.Weight:
    """Return what was weighed."""
    return memory.Weight(memory.CASES[0].name, contender, 40 << 20, (40 + growth) << 20, 41 << 20, 1.0)


def test_memory_is_held_against_the_bare_app() -> None:
    """What the server itself keeps is not ours; what cannot be compared is told."""
    bound = http_stream.BOUND >> 20
    bares = [weight(f"ASGI: {BARE_ASGI}", 1), weight(f"WSGI: {BARE_WSGI}", 64)]
    good = [weight(f"ASGI: {OURS}", 1 + bound), weight(f"WSGI: {OURS}", 64 + bound), weight("ASGI: hishel", 400)]
    assert http_stream.grown([*bares, *good]) == []
    assert "17.0 MiB more than bare" in http_stream.grown([*bares, weight(f"ASGI: {OURS}", 2 + bound)])[0]
    assert "nothing to compare with" in http_stream.grown([weight(f"WSGI: {OURS}", 1)])[0]
    assert http_stream.grown(bares) == [f"{OURS} has no result"]
    text = memory.render(good[:1], {"peer": "OSError: a|b"})
    assert f"| length told | ASGI: {OURS} | 40 | 17.0 | 41 | 1.0 |" in text
    assert "| - | peer | failed: OSError: a/b | | | |" in text


@pytest.mark.parametrize("name", ["http_hit", "http_stream"])
def test_the_published_page_has_its_place_for_the_tables(name: str) -> None:
    """The page in docs/ and the script agree on the comments."""
    page = Path(__file__).parents[2] / "docs" / "benchmarks.md"
    assert "\nfigures\n" in splice(page.read_text("utf-8"), name, "figures")

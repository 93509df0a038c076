"""What the benchmark of locks says of its results: tables, missed promises, the exit code and the page."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

_FOLDER = str(Path(__file__).parents[1] / "benchmarks")
sys.path.insert(0, _FOLDER)  # the benchmark is a script with its modules beside it, not a package
try:
    import bench_lock_table as table
    import lock_hit
    from bench_frame import Row, Standing
    from bench_lock_crowd import ALL, Crowd
    from bench_lock_handover import Handover, HandoverRow
    from bench_lock_ours import FAIR, ONCE
    from bench_lock_raw import RAW
    from bench_sync_subjects import OURS
    from bench_table import splice
finally:
    sys.path.remove(_FOLDER)


def free_row(**ratios: float) -> Row:
    """Return a row about a free lock with these ratios."""
    names = {"ours": OURS, "once": ONCE}
    standings = [
        Standing(names.get(name, name), value, value, value, value, 1.0, 1.0, 1) for name, value in ratios.items()
    ]
    return Row("a free lock, sync", RAW, tuple(standings), {})


def test_our_two_forms_are_no_peers_of_each_other() -> None:
    """Each is held to the target and compared with the peers; that one of them is slower is no failure."""
    assert table.missed_when_free([free_row(ours=0.8, once=0.7, peer=0.81)], lock_hit.TARGETS) == []
    told = table.missed_when_free([free_row(ours=0.95, once=0.7, peer=0.94)], lock_hit.TARGETS)
    assert len(told) == 2
    assert all(OURS in line and ONCE not in line for line in told)
    assert len(table.missed_when_free([free_row(ours=0.7, once=0.95)], lock_hit.TARGETS)) == 1
    assert table.missed_when_free([free_row(peer=1.0)], {}) == [f"a free lock, sync: {OURS} has no result"]


def test_slow_and_dear_handovers_are_named() -> None:
    """3 ms and fewer than 20 commands are promised, and to be faster than the peers, fair or not."""

    def missed(*standings: Handover) -> list[str]:
        return table.missed_when_handed_over(HandoverRow("row", standings, {}))

    assert missed(Handover(OURS, 3.0, 9.0, 19.9), Handover(FAIR, 2.0, 9.0, 9.0), Handover("peer", 3.1, 9.0, 5.0)) == []
    assert missed(Handover(OURS, 3.1, 3.1, 5.0)) == [f"row: {OURS} took 3.10 ms, the target is 3.00"]
    assert missed(Handover(FAIR, 1.0, 1.0, 20.0)) == [f"row: {FAIR} sent 20.0 commands, the target is below 20"]
    assert missed(Handover(OURS, 1.0, 1.0, 5.0), Handover("peer", 1.0, 1.0, 5.0)) == [
        f"row: {OURS} took 1.00 ms, peer 1.00"
    ]
    assert missed(Handover("peer", 1.0, 1.0, 5.0)) == [f"row: {OURS} has no result"]
    assert missed(Handover(OURS, 1.0, 1.0, 5.0), Handover("restless", 0.5, 1.0, 20.0)) == []
    assert len(missed(Handover(OURS, float("nan"), 1.0, 5.0))) == 1


def test_what_a_crowd_did_not_get_is_named() -> None:
    """All must be served, the fair lock in order, and sooner than by a peer that served all."""
    fair, plain = Crowd(FAIR, ALL, 9, 1.0, 9, in_order=True), Crowd(OURS, ALL, 9, 1.0, 9, in_order=False)
    gave_up = Crowd("peer", "gave up after 1 s", 3, 0.5, 9, in_order=False)
    assert table.missed_by_crowd([fair, plain, gave_up]) == []
    assert len(table.missed_by_crowd([fair, plain, Crowd("peer", ALL, 9, 0.9, 9, in_order=True)])) == 2
    assert table.missed_by_crowd([Crowd(FAIR, ALL, 9, 1.0, 9, in_order=False)]) == [
        f"crowd: {FAIR} did not keep the order"
    ]
    assert "OSError" in table.missed_by_crowd([Crowd(OURS, "OSError", 3, 1.0, 9, in_order=False)])[0]
    assert table.missed_by_crowd([gave_up]) == [f"crowd: {OURS} has no result"]


def test_the_tables_show_results_and_failures() -> None:
    """A failure is a line, not a gap."""
    text = table.render_handovers(HandoverRow("row", (Handover("a", 1.234, 5.678, 6.0),), {"b": "OSError: x|y"}))
    assert "| a | 1.23 | 5.68 | 6.0 |" in text
    assert "| b | failed: OSError: x/y | | |" in text
    text = table.render_crowd(
        "crowd", [Crowd("a", ALL, 9, 1.234, 99, in_order=True), Crowd("b", "x|y", 0, 0, 0, in_order=False)]
    )
    assert "| a | all had it | 9 | 1.23 | 99 | yes |" in text
    assert "| b | x/y | 0 | 0.00 | 0 | no |" in text


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> lock_hit.Results:
    """Let the script run without a server, with results that are known beforehand."""
    monkeypatch.setattr("bench_server.find_server", Path)
    monkeypatch.setattr("bench_server.running", nullcontext)
    monkeypatch.setattr("bench_server.version", lambda _port: "7.0")
    results = lock_hit.Results(
        [free_row(ours=0.8, once=0.7)],
        [HandoverRow("handed over", (Handover(OURS, 1.0, 2.0, 6.0),), {})],
        [Crowd(FAIR, ALL, 1000, 1.0, 5000, in_order=True)],
    )
    monkeypatch.setattr(lock_hit, "_measure", lambda _port, _options: results)
    return results


def test_the_exit_code_tells_failures_and_missed_targets(
    measured: lock_hit.Results, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure always fails the run; a missed target only where it was asked for."""
    assert lock_hit.main(["--check"]) == 0
    measured.rows[:] = [free_row(ours=0.91)]
    measured.handovers[:] = [HandoverRow("handed over", (Handover(OURS, 3.5, 4.0, 6.0),), {})]
    measured.crowds[:] = [Crowd(FAIR, "gave up after 20 s", 3, 20.0, 9, in_order=False)]
    assert lock_hit.main([]) == 0
    assert lock_hit.main(["--check"]) == 1
    told = capsys.readouterr().err
    assert all(part in told for part in ("the target is 0.90", "the target is 3.00", "gave up", "the order"))
    measured.handovers[:] = [HandoverRow("handed over", (), {"peer": "OSError"})]
    assert lock_hit.main([]) == 1
    assert "handed over: peer failed: OSError" in capsys.readouterr().err


def test_a_page_gets_complete_runs_in_its_own_place(measured: lock_hit.Results, tmp_path: Path) -> None:
    """A run in which somebody failed changes nothing, and no run changes what others put on the page."""
    page = tmp_path / "page.md"
    text = "<!-- limit_hit:begin -->other<!-- limit_hit:end -->\n<!-- lock_hit:begin -->former<!-- lock_hit:end -->"
    page.write_text(text)
    complete = measured.handovers[:]
    measured.handovers[:] = [HandoverRow("handed over", (), {"peer": "OSError"})]
    assert lock_hit.main(["--markdown", str(page)]) == 1
    assert page.read_text() == text
    measured.handovers[:] = complete
    assert lock_hit.main(["--markdown", str(page), "--json", str(tmp_path / "figures.json")]) == 0
    assert page.read_text().startswith("<!-- limit_hit:begin -->other<!-- limit_hit:end -->\n<!-- lock_hit:begin -->")
    assert "former" not in page.read_text()
    assert f"| {OURS} | 1.00 | 2.00 | 6.0 |" in page.read_text()
    assert f"| {FAIR} | all had it | 1000 |" in page.read_text()
    assert '"median_ms": 1.0' in (tmp_path / "figures.json").read_text()


def test_the_published_page_has_its_place_for_the_tables() -> None:
    """The page in docs/ and the script agree on the comments."""
    page = Path(__file__).parents[2] / "docs" / "benchmarks.md"
    assert "\nfigures\n" in splice(page.read_text("utf-8"), "lock_hit", "figures")


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(
    "words",
    [
        ["--rounds", "0"],
        ["--slice-ms", "0"],
        ["--handovers", "0"],
        ["--waiters", "0"],
        ["--patience", "nan"],
        ["--only", "nobody"],
        ["--row", "none"],
        ["--markdown", "page.md", "--row", "free"],
        ["--markdown", "page.md", "--only", OURS],
    ],
)
def test_options_that_cannot_work_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped name must not silently measure nothing, nor a part replace a page's whole."""
    with pytest.raises(SystemExit) as stop:
        lock_hit.main(words)
    assert stop.value.code == 2
    assert words[0] in capsys.readouterr().err

"""The conformance run's counting, on made-up results: a failure that we do not know must never pass for one we do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_FOLDER = str(Path(__file__).parents[1] / "benchmarks")
sys.path.insert(0, _FOLDER)  # the benchmark is a script with its modules beside it, not a package
try:
    import bench_conformance_suite as suites
    import http_conformance as conformance
    from bench_conformance_count import Tally, count, failures, render_counts, render_failures, render_optional, unknown
    from bench_conformance_processes import listening
    from bench_conformance_reasons import REASONS, Failure, Trial, explain
    from bench_conformance_suite import Case, Results
finally:
    sys.path.remove(_FOLDER)

ASGI, ASGI_STORE, WSGI, WSGI_STORE = conformance.TRIALS
CASES = (Case("a", "required"), Case("b", "required"), Case("c", "required"), Case("d", "optimal"), Case("e", "check"))
MIXED = Results({"a": True, "b": ["Setup", "no"], "d": ["Assertion", "slow"], "e": True, "z": True}, {"b": 500})
CACHED = "Assertion: Response 2 comes from cache"


def test_only_what_was_passed_counts() -> None:
    """A failed setup and a test that was not tried are no passes; a test that is not listed does not count."""
    assert count(CASES, MIXED, "required") == Tally(1, 3, 1)
    assert count(CASES, MIXED, "optimal") == Tally(0, 1, 0)
    assert count(CASES, MIXED, "check") == Tally(1, 1, 0)
    assert str(Tally(1, 3, 1)) == "1 of 3 (1 not tried)"
    assert str(Tally(3, 3, 0)) == "3 of 3"


def test_failures_come_with_what_was_seen() -> None:
    """In the order of the suite, with its words and the last status."""
    assert failures(CASES, MIXED, "required") == [Failure("b", "Setup: no", 500), Failure("c", "not tried")]
    assert failures(CASES, Results({"a": False}, {}), "required")[0] == Failure("a", "not tried")


def test_there_is_a_run_for_each_middleware_with_each_options() -> None:
    """Neither side can be left out unnoticed."""
    assert [(each.side, bool(each.options)) for each in conformance.TRIALS] == [
        ("ASGI", False),
        ("ASGI", True),
        ("WSGI", False),
        ("WSGI", True),
    ]


@pytest.mark.parametrize(
    ("failure", "known"),
    [
        (Failure("age-parse-float", CACHED, 200), conformance.TRIALS),
        (Failure("age-parse-float", CACHED, 500), ()),
        (Failure("age-parse-float", "Setup: Response 1 status is 500, not 200", 500), ()),
        (Failure("stale-close-no-cache", CACHED, 502), conformance.TRIALS),
        (Failure("stale-close-no-cache", CACHED, 200), ()),
        (Failure("stale-close-no-cache", CACHED), ()),
        (Failure("headers-store-Set-Cookie", "Setup: Response 2 does not come from cache", 200), (ASGI, WSGI)),
        (Failure("304-etag-update-response-Set-Cookie", "Setup: Request 2 should be conditional", 999), (ASGI, WSGI)),
        (Failure("304-etag-update-response-ETag", "Setup: retry", 599), conformance.TRIALS),
        (Failure("304-etag-update-response-ETag", 'Assertion: ETag is "b", not "a"', 200), ()),
        (Failure("headers-store-Transfer-Encoding", "Setup: Response 1 status is 500", 500), (ASGI, ASGI_STORE)),
        (Failure("age-parse-new", CACHED, 200), ()),
    ],
    ids=[
        "Age: fresh",
        "Age: failed",
        "Age: no setup",
        "closed: 5xx",
        "closed: stale was served",
        "closed: no answer",
        "cookie",
        "cookie in a 304",
        "ETag: asked again",
        "ETag: stored",
        "coding",
        "no reason",
    ],
)
def test_a_reason_holds_only_for_what_it_is_about(failure: Failure, known: tuple[Trial, ...]) -> None:
    """Above all, a stale response where none may be served has the same words as a proxy's own 502."""
    assert tuple(each for each in conformance.TRIALS if explain(failure, each)) == known


def test_what_has_no_reason_is_told() -> None:
    """Required tests only; one that was not tried is not passed."""
    lines = unknown(CASES, WSGI, MIXED)
    assert lines == ["WSGI, default: b: Setup: no (status 500)", "WSGI, default: c: not tried (status None)"]


def test_the_tables_tell_where_and_why() -> None:
    """Failures of all runs are one line; those that we do not know are marked, and a bar cannot break the table."""
    cases = (Case("age-parse-float", "required"), Case("b", "required"), Case("d", "optimal"))
    age: dict[str, suites.Verdict] = {"age-parse-float": ["Assertion", "Response 2 comes from cache"]}
    statuses = {"age-parse-float": 200, "b": 500}
    finished = [
        (ASGI, Results({**age, "b": True, "d": True}, statuses)),
        (WSGI, Results({**age, "b": ["Assertion", "x|y"], "d": ["Assertion", "slow"]}, statuses)),
    ]
    text = render_failures(cases, finished)
    assert f"| `age-parse-float` | everywhere | {REASONS['age-parse-float'].text} |" in text
    assert "| `b` | WSGI default | **UNKNOWN**: Assertion: x/y (status 500) |" in text
    assert render_optional(cases, finished) == "- ASGI default: none\n- WSGI default: `d`"
    assert "| mine | 1 of 3 (1 not tried) | 0 of 1 | 1 of 1 |" in render_counts(CASES, {"mine": MIXED})


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> Callable[[Results], None]:
    """Let every run have the same results, without a suite and without servers."""

    def give(results: Results) -> None:
        monkeypatch.setattr(suites, "fetch", lambda *_: Path("/nowhere"))
        monkeypatch.setattr(suites, "cases_of", lambda *_: CASES)
        monkeypatch.setattr(suites, "of_others", lambda *_: {"Squid": MIXED})
        monkeypatch.setattr(conformance, "run", lambda trials, *_: [(each, results) for each in trials])

    return give


def test_the_exit_code_tells_of_unknown_failures(
    finished: Callable[[Results], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """With --check alone; what fails is on standard error in any case, and others' failures are not ours."""
    finished(Results({"a": True, "b": True, "c": True}, {}))
    assert conformance.main(["--check"]) == 0
    assert "| holdfast, WSGI, default | 3 of 3 |" in capsys.readouterr().out
    finished(MIXED)
    assert conformance.main([]) == 0
    assert conformance.main(["--check", "--only", "WSGI"]) == 1
    told = capsys.readouterr()
    assert "no reason known: WSGI, default: b: Setup: no (status 500)" in told.err
    assert "| Squid | 1 of 3 (1 not tried) |" in told.out


def test_a_run_that_cannot_be_made_is_no_success(
    finished: Callable[[Results], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the suite nothing was checked."""

    def fail(*_: object) -> Path:
        msg = "not installed: no such package"
        raise RuntimeError(msg)

    finished(MIXED)
    monkeypatch.setattr(suites, "fetch", fail)
    assert conformance.main([]) == 1
    assert "no such package" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--only", "none"], ["--patience", "0"]])
def test_options_that_cannot_work_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped name must not silently check nothing."""
    with pytest.raises(SystemExit) as stop:
        conformance.main(words)
    assert stop.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_the_suite_is_installed_once_in_its_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What npm did not finish is made anew, and it says why it did not."""
    asked: list[list[str]] = []
    codes = iter([1, 0])

    class Done:
        stderr = b"first\nno such package\n"

        def __init__(self) -> None:
            self.returncode = next(codes)

    def install(words: list[str], **_: object) -> Done:
        asked.append(words)
        return Done()

    monkeypatch.setattr(suites.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(suites.subprocess, "run", install)
    with pytest.raises(RuntimeError, match="not installed: no such package"):
        suites.fetch(tmp_path)
    assert suites.fetch(tmp_path) == suites.fetch(tmp_path)
    assert [words[-1] for words in asked] == [f"{suites.NAME}@{suites.VERSION}"] * 2
    monkeypatch.setattr(suites.shutil, "which", lambda _: None)
    with pytest.raises(RuntimeError, match="no node"):
        suites.fetch(tmp_path)


def test_a_process_that_says_no_port_says_why() -> None:
    """The last line that it wrote is the reason."""
    with (
        pytest.raises(RuntimeError, match="no such middleware"),
        listening([sys.executable, "-c", "raise ImportError('no such middleware')"]),
    ):
        pass

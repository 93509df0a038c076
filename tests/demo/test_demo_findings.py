from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.demo import table
from holdfast.demo.database import Size
from holdfast.demo.findings import Answer, Counts, Findings, Pass, Shared, Visit

PATHS = ("/a", "/b")


def _pass(times: int, seconds: float, queries: int, hits: int, misses: int) -> Pass:
    answers = [Answer(path, 200, b'{"path": "%s"}' % path.encode(), seconds) for _ in range(times) for path in PATHS]
    return Pass(tuple(answers), Counts(queries, hits, misses))


def _visit(skin: str) -> Visit:
    return Visit(skin, _pass(1, 0.4, 2, 0, 2), _pass(9, 0.002, 0, 18, 0))


GOOD = Findings((_visit("FastAPI"), _visit("Flask")), Shared("Flask", "FastAPI", _pass(1, 0.002, 0, 2, 0)), None)


def _spoil(part: Pass, **changes: object) -> Pass:
    """Return a pass whose first answer has other fields."""
    first, *others = part.answers
    return replace(part, answers=(first._replace(**changes), *others))


def _with_flask(**changes: Pass) -> Findings:
    return replace(GOOD, visits=(GOOD.visits[0], replace(GOOD.visits[1], **changes)))


FLASK = GOOD.visits[1]


def test_a_run_in_which_the_cache_did_its_work_has_no_problem() -> None:
    """Nothing is found where nothing is wrong."""
    assert GOOD.problems() == []


def test_counts_since_are_what_was_added() -> None:
    """A pass is told what the skin counted during it, not before."""
    assert Counts(5, 7, 9).since(Counts(1, 2, 3)) == Counts(4, 5, 6)


@pytest.mark.parametrize(
    ("findings", "sentence"),
    [
        (_with_flask(warm=_spoil(FLASK.warm, body=b"other")), "Flask: warm answers differ from cold ones: /a"),
        (_with_flask(warm=_spoil(FLASK.warm, status=500)), "Flask: /a answered 500"),
        (_with_flask(cold=_spoil(FLASK.cold, status=0)), "Flask: /a was not answered"),
        (
            _with_flask(warm=replace(FLASK.warm, counts=Counts(3, 18, 0))),
            "Flask: 3 queries were run for 18 warm requests, not 0",
        ),
        (
            _with_flask(warm=replace(FLASK.warm, counts=Counts(0, 17, 1))),
            "Flask: 17 hits were counted for 18 warm requests",
        ),
        (
            replace(GOOD, shared=replace(GOOD.shared, read=_pass(1, 0.4, 1, 1, 1))),
            "Flask read only 1 of 2 entries of FastAPI",
        ),
        (
            replace(GOOD, shared=replace(GOOD.shared, read=_spoil(GOOD.shared.read, body=b'{"path": "/c"}'))),
            "Flask answers differ from those of FastAPI: /a",
        ),
        (replace(GOOD, failure="BackendUnavailable: gone"), "the backend failed: BackendUnavailable: gone"),
    ],
)
def test_each_problem_is_told_in_one_sentence(findings: Findings, sentence: str) -> None:
    """Each thing that the check promises is looked at, and nothing else is reported with it."""
    assert findings.problems() == [sentence]


def test_frameworks_may_order_and_space_their_json_as_they_like() -> None:
    """Across skins only what the JSON says is compared; within one, every byte."""
    spaced = _spoil(GOOD.shared.read, body=b'{ "path" : "/a" }')
    assert replace(GOOD, shared=replace(GOOD.shared, read=spaced)).problems() == []


def test_the_table_says_what_was_measured() -> None:
    """The numbers are those of the passes, a skin a column."""
    rows = dict(line.strip().split("  ", 1) for line in table.render(GOOD).splitlines()[1:9])
    values = {title: tuple(rest.split()[:2]) for title, rest in rows.items()}
    assert values["requests"] == ("20", "20")
    assert values["hit ratio"] == ("90.0%", "90.0%")
    assert values["queries run"] == ("2", "2")
    assert values["queries saved"] == ("18", "18")
    assert rows["cold, median"].split()[:2] == ["400.0", "ms"]
    assert rows["warm, median"].split()[:2] == ["2.0", "ms"]
    assert rows["speed-up"].split()[:2] == ["200", "x"]


def test_the_sentences_under_the_table_tell_what_it_means() -> None:
    """2 x 18 warm answers, 398 ms each."""
    assert "Shared: Flask answered 2 of 2 reports from what FastAPI had stored." in table.render(GOOD)
    assert "the cache saved 14.3 s of waiting" in table.conclusion(GOOD)


def test_the_table_fits_a_terminal() -> None:
    """No line is longer than 110 characters, so that nothing wraps on a common terminal."""
    text = "\n".join(
        [table.introduction(Size(100, 1000), "Redis", None, "9"), table.render(GOOD), table.conclusion(GOOD)]
    )
    assert max(map(len, text.splitlines())) <= 110

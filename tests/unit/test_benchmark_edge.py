"""The benchmark of limits and sessions, on made-up servers: one that does nothing must never be timed."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path

import pytest

_FOLDER = str(Path(__file__).parents[1] / "benchmarks")
sys.path.insert(0, _FOLDER)  # the benchmark is a script with its modules beside it, not a package
try:
    import bench_edge_bare as bare
    import bench_edge_lineup as lineup
    import bench_edge_trial as trial
    import bench_http_lineup as http_lineup
    import edge_hit
    from bench_edge_rows import LIMITS, NO_PEERS, OURS_FASTAPI, OURS_WSGI, ROWS, SESSIONS, with_limit
    from bench_edge_trial import Kind
    from bench_frame import Row, Slice, Standing
    from bench_http_load import Answer, Asking, Turn
    from bench_http_rows import BARE_ASGI, BARE_WSGI, FASTAPI, Subject
    from bench_http_table import missed
    from bench_sync_subjects import OURS
    from bench_table import splice
finally:
    sys.path.remove(_FOLDER)

CONNECTIONS = 2


class MadeUp:
    """A server that answers without a socket: an app that numbers its runs, and an edge that may be a bad one."""

    def __init__(
        self, *, quota: int = 10**6, shared: bool = False, keeps: bool = True, asks: int = 1, repeats: bool = True
    ) -> None:
        self.port = 0
        self.quota = quota
        self.shared = shared
        """Whether all clients, or all sessions, are one."""
        self.keeps = keeps
        """Whether what a session is given stays."""
        self.asks = asks
        """Commands that each request costs."""
        self.repeats = repeats
        """Whether a key is answered with its first result."""
        self.runs = 0
        self.commands = 0
        self.hits: Counter[str] = Counter()
        self.sessions: dict[str, dict[str, object]] = {}
        self.results: dict[str, bytes] = {}

    def cpu_seconds(self) -> float:
        """Return nothing: no time passes here."""
        return 0.0

    def answer(self, asking: Asking, _number: int = 0, client: str = "127.0.0.1") -> Answer:
        """Answer one request."""
        self.commands += self.asks
        who = "all" if self.shared else client
        self.hits[who] += 1
        if self.hits[who] > self.quota:
            return Answer(429, {}, b"{}")
        fields = dict(asking.fields)
        key = fields.get("Idempotency-Key", "")
        if key in self.results and self.repeats:
            return Answer(200, {}, self.results[key])
        self.runs += 1
        body = {"run": f"{self.runs:010}", **self._act(asking, fields)}
        self.results[key or str(self.runs)] = json.dumps(body).encode()
        session = f"session={'one' if self.shared else self.runs}; Path=/"
        if asking.path == bare.BEGIN and self.keeps:
            self.sessions.setdefault(session.partition(";")[0], dict(bare.SESSION))
        return Answer(200, {"set-cookie": session} if asking.path == bare.BEGIN else {}, json.dumps(body).encode())

    def _act(self, asking: Asking, fields: dict[str, str]) -> dict[str, object]:
        session = self.sessions.get(fields.get("Cookie", ""), {})
        if asking.path == bare.VISIT:
            kept = {**session}
            answer = bare.visit(kept)
            if self.keeps:
                session.update(kept)
            return {"visits": answer["visits"]}
        return {"message": bare.greeting(dict(session))["message"]}

    def turn(self, requests: Iterable[bytes], count: int) -> Turn:
        """Answer as many requests as a slice has."""
        answers = [self.answer(_read(wire), client=trial.client_address(0)) for wire in islice(requests, count)]
        return Turn(Slice(count, 1.0, 1.0), count, frozenset(answer.body for answer in answers))


def _read(wire: bytes) -> Asking:
    first, *lines = wire.decode().split("\r\n")
    method, path, _ = first.split(" ")
    return Asking(path, method, tuple((name, value) for name, _, value in (line.partition(": ") for line in lines)))


@pytest.fixture
def contest(monkeypatch: pytest.MonkeyPatch) -> Callable[[MadeUp, Kind, bool], Slice]:
    """Try a made-up server out, and measure two slices of it."""

    def measure(server: MadeUp, kind: Kind, is_bare: bool = False) -> Slice:
        monkeypatch.setattr(
            trial, "ask", lambda _port, asked, number=0, client="127.0.0.1": server.answer(asked, number, client)
        )
        monkeypatch.setattr(trial, "_take", lambda _server, requests, *_: server.turn(requests, 21))
        if is_bare:
            measuring = trial.measure_bare(server, kind, CONNECTIONS)
        else:
            measuring = trial.measure(server, kind, CONNECTIONS, lambda: server.commands)
        measuring(1.0)
        return measuring(1.0)

    return measure


@pytest.mark.parametrize(
    ("kind", "quota"),
    [
        (Kind.ADMITTED, trial.PLENTY),
        (Kind.REFUSED, trial.SMALL),
        (Kind.READ, trial.PLENTY),
        (Kind.CHANGED, trial.PLENTY),
        (Kind.FIRST, trial.PLENTY),
    ],
)
def test_who_does_what_the_row_is_about_may_compete(contest: Callable[..., Slice], kind: Kind, quota: int) -> None:
    """The same server for all kinds, and the bare app, too."""
    assert contest(MadeUp(quota=quota), kind).operations == 21
    assert contest(MadeUp(repeats=False), kind, is_bare=True).operations == 21


@pytest.mark.parametrize(
    ("kind", "server", "told"),
    [
        (Kind.ADMITTED, MadeUp(asks=0), "Redis was not asked"),
        (Kind.ADMITTED, MadeUp(quota=10), "times for"),
        (Kind.REFUSED, MadeUp(), "of a quota of 7 it made"),
        (Kind.REFUSED, MadeUp(quota=7, shared=True), "another client was refused"),
        (Kind.READ, MadeUp(keeps=False), "the session was not there"),
        (Kind.READ, MadeUp(shared=True), "two sessions are one"),
        (Kind.READ, MadeUp(asks=0), "Redis was not asked"),
        (Kind.CHANGED, MadeUp(keeps=False), "a visit was not counted"),
        (Kind.CHANGED, MadeUp(asks=0), "Redis was not asked"),
        (Kind.FIRST, MadeUp(repeats=False), "the app ran again for the same key"),
        (Kind.FIRST, MadeUp(asks=0), "Redis was not asked"),
    ],
)
def test_who_does_less_has_failed(contest: Callable[..., Slice], kind: Kind, server: MadeUp, told: str) -> None:
    """Each of these would be faster than what its row is about."""
    with pytest.raises(ValueError, match=told):
        contest(server, kind)


def test_who_forgets_visits_under_load_has_failed(
    contest: Callable[..., Slice], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that counts when it is tried out, and loses changes in a slice."""
    server = MadeUp()
    turn = server.turn

    def forgetful(requests: Iterable[bytes], count: int) -> Turn:
        server.keeps = False
        try:
            return turn(requests, count)
        finally:
            server.keeps = True

    monkeypatch.setattr(server, "turn", forgetful)
    with pytest.raises(ValueError, match="visits were counted of"):
        contest(server, Kind.CHANGED)


def test_who_runs_the_app_for_a_refused_client_has_failed(
    contest: Callable[..., Slice], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status alone does not tell."""
    server = MadeUp(quota=trial.SMALL)
    turn = server.turn

    def eager(requests: Iterable[bytes], count: int) -> Turn:
        server.runs += count
        return turn(requests, count)

    monkeypatch.setattr(server, "turn", eager)
    with pytest.raises(ValueError, match="the app ran for a refused client"):
        contest(server, Kind.REFUSED)


def test_commands_that_settle_nothing_do_not_count() -> None:
    """A health check, or our own question, is no request."""

    class Redis:
        def info(self, section: str) -> dict[str, dict[str, int]]:
            assert section == "commandstats"
            counts = {"cmdstat_get": 3, "cmdstat_evalsha": 4, "cmdstat_info": 9, "cmdstat_client|setinfo": 5}
            return {name: {"calls": calls} for name, calls in counts.items()}

    assert trial.commands_of(Redis()) == 7


def test_addresses_are_all_different() -> None:
    """A limit is to tell the clients of the load apart, and those that try it out from these."""
    addresses = [*(trial.client_address(number) for number in range(64)), *(trial.stranger() for _ in range(600))]
    assert len(set(addresses)) == len(addresses)
    assert all(0 < int(part) < 255 for address in addresses for part in address.split(".")[3:])


def test_the_bare_app_answers_in_the_same_length() -> None:
    """Else its load would be another one."""
    assert bare.STRANGER != bare.NAME
    session: dict[str, object] = dict(bare.SESSION)
    assert len(str(bare.greeting(session))) == len(str(bare.greet()))
    assert len(str(bare.visit(session))) == len(str(bare.bare_visit()))
    assert session["visits"] == 1
    assert bare.SESSION["visits"] == 0


def test_every_row_has_us_a_baseline_and_its_peers() -> None:
    """Nobody can be left out of a row unnoticed; what is promised stands in three rows."""
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    for row in ROWS:
        assert {OURS, row.baseline} <= set(row.subjects)
        assert row.subjects[row.baseline].bare
        assert row.against_peers
        assert (row.kind is Kind.FIRST) == (not set(row.subjects) - NO_PEERS - {row.baseline})
    promised = {row.name: row.target for row in ROWS if row.target}
    assert promised == {
        "ASGI, a limit on every request": 0.60,
        "ASGI, a session that is read": 0.60,
        "WSGI, a limit on every request": 0.85,
    }
    assert {OURS, OURS_FASTAPI, OURS_WSGI, FASTAPI} == NO_PEERS
    peers = {name for row in ROWS for name in row.subjects} - NO_PEERS - {BARE_ASGI, BARE_WSGI}
    assert {each.partition(",")[0].partition(" ")[0] for each in peers} == {
        "slowapi",
        "fastapi-limiter",
        "fastapi-redis-sdk",
        "Flask-Limiter",
        "starsessions",
        "Flask-Session",
    }


def test_the_limit_is_part_of_what_is_built() -> None:
    """The bare app is left as it is."""
    subject = Subject("module:builder")
    assert with_limit(subject, 7).builder == "module:builder:7"
    assert with_limit(Subject("module:builder", bare=True), 7).builder == "module:builder"
    limited, refused = (next(row for row in ROWS if row.kind is kind) for kind in (Kind.ADMITTED, Kind.REFUSED))
    assert limited.subjects[OURS].builder == f"{LIMITS[OURS].builder}:{trial.PLENTY}"
    assert refused.subjects[OURS].builder == f"{LIMITS[OURS].builder}:{trial.SMALL}"


class _Emptied:
    def flushall(self) -> None:
        """Forget nothing."""


def test_a_limit_is_seen_to_refuse_before_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process with the small quota, whose failure is the contender's; the bare app has none."""
    started: list[str] = []

    @contextmanager
    def serving(_server: str, builder: str, *_: object) -> Iterator[str]:
        started.append(builder)
        yield builder

    def try_limit(server: object) -> None:
        trial.judge("slowapi:" not in str(server), "of a quota of 7 it made")

    monkeypatch.setattr(lineup, "serving", serving)
    monkeypatch.setattr(http_lineup, "serving", serving)
    monkeypatch.setattr(lineup.redis, "Redis", lambda **_: nullcontext(_Emptied()))
    monkeypatch.setattr(lineup, "try_limit", try_limit)
    monkeypatch.setattr(lineup, "measure_bare", lambda *_: lambda _: Slice(1, 1.0, 1.0))
    monkeypatch.setattr(lineup, "measure", lambda *_: lambda _: Slice(1, 1.0, 1.0))
    row = ROWS[0]
    assert row.kind is Kind.ADMITTED
    subjects = {name: row.subjects[name] for name in (BARE_ASGI, OURS, "slowapi")}
    with lineup.lineup(row, subjects, 0, Path("/nowhere")) as ready:
        assert [contender.name for contender in ready.contenders] == [BARE_ASGI, OURS]
        assert ready.failures == {"slowapi": "ValueError: of a quota of 7 it made"}
    small = [builder for builder in started if builder.endswith(f":{trial.SMALL}")]
    assert len(small) == 2
    started.clear()
    row = next(row for row in ROWS if row.kind is Kind.READ)
    with lineup.lineup(row, {OURS: SESSIONS[OURS]}, 0, Path("/nowhere")):
        assert started == [SESSIONS[OURS].builder]


def _row(name: str, ratios: dict[str, float]) -> Row:
    standings = tuple(Standing(each, ratio, ratio, ratio, ratio, 100.0, 50.0, 1) for each, ratio in ratios.items())
    baseline = next(each.baseline for each in ROWS if each.name == name)
    return Row(name, baseline, standings, {})


def test_peers_count_in_every_row() -> None:
    """Also where nothing else is promised; our other contenders, and another bare app, are no peers."""
    for each in ROWS:
        others = {OURS_FASTAPI: 0.1, OURS_WSGI: 0.1, FASTAPI: 0.1, each.baseline: 0.1}
        assert missed([_row(each.name, {OURS: 1.0, **others})], ROWS, NO_PEERS) == []
        assert "slowapi 2.00" in missed([_row(each.name, {OURS: 1.0, "slowapi": 0.5})], ROWS, NO_PEERS)[0]
        slow = missed([_row(each.name, {OURS: 1 / 0.59})], ROWS, NO_PEERS)
        assert len(slow) == (1 if each.target else 0)


def test_the_published_page_has_its_place_for_the_tables() -> None:
    """The page in docs/ and the script agree on the comments."""
    page = Path(__file__).parents[2] / "docs" / "benchmarks.md"
    assert "\nfigures\n" in splice(page.read_text("utf-8"), edge_hit.BENCHMARK.name, "figures")


def test_the_script_runs_its_own_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command line does is tested with that of the HTTP caches."""
    given: list[object] = []
    monkeypatch.setattr(edge_hit, "run", lambda benchmark, words: given.extend((benchmark, words)) or 3)
    assert edge_hit.main(["--check"]) == 3
    assert given == [edge_hit.BENCHMARK, ["--check"]]
    assert edge_hit.BENCHMARK.rows is ROWS
    assert {OURS, "starsessions"} <= edge_hit.BENCHMARK.everybody

"""The benchmark of HTTP caches, on made-up servers: one that answers from the wrong place must never be timed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

_FOLDER = str(Path(__file__).parents[1] / "benchmarks")
sys.path.insert(0, _FOLDER)  # the benchmark is a script with its modules beside it, not a package
try:
    import bench_http_bare as bare
    import bench_http_environments as environments
    import bench_http_lineup as lineup
    import bench_http_processes as processes
    import bench_http_trial as trial
    from bench_frame import Slice
    from bench_http_load import Answer, Asking, Turn, take_turn
    from bench_http_rows import BARE_ASGI, ROWS, SUBJECTS
    from bench_sync_subjects import OURS
finally:
    sys.path.remove(_FOLDER)

HIT = Asking(bare.GREETING)
NEW = Asking(bare.GREETING, anew=True)


class MadeUp:
    """A server that answers without a socket: an app that numbers its runs, and a cache that may be a bad one."""

    def __init__(self, *, keeps: bool, matches: bool = True, forgets: int = 0) -> None:
        self.port = 0
        self.keeps = keeps
        self.matches = matches
        self.forgets = forgets
        """How many of the runs in a slice it adds, or leaves out."""
        self.runs = 0
        self.kept: dict[str, bytes] = {}

    def cpu_seconds(self) -> float:
        """Return nothing: no time passes here."""
        return 0.0

    def answer(self, asking: Asking, number: int = 0) -> Answer:
        """Answer one request."""
        target = asking.target(number)
        body = self.kept.get(target)
        if body is None:
            self.runs += 1
            body = json.dumps({"run": f"{self.runs:010}"}).encode()
            if self.keeps:
                self.kept[target] = body
        if self.matches and dict(asking.fields).get("If-None-Match") == '"tag"':
            return Answer(304, {}, b"")
        return Answer(200, {"etag": '"tag"'}, body)

    def turn(self, asking: Asking, count: int) -> Turn:
        """Answer as many requests as a slice has."""
        numbers = [next(trial._numbers) if asking.anew else 0 for _ in range(count)]
        bodies = [self.answer(asking, number).body for number in numbers]
        self.runs += self.forgets
        if self.forgets:
            self.kept.clear()
            bodies.append(self.answer(asking, numbers[-1]).body)
        return Turn(Slice(count, 1.0, 1.0), count, frozenset(bodies[-2:]))


@pytest.fixture
def contest(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Slice]:
    """Try a made-up server out, and measure one slice of it."""

    def measure(server: MadeUp, asking: Asking, kind: trial.Kind | None) -> Slice:
        monkeypatch.setattr(trial, "ask", lambda _port, asked, number=0: server.answer(asked, number))
        monkeypatch.setattr(trial, "_take", lambda _server, asked, *_: server.turn(asked, 5))
        monkeypatch.setattr(trial, "PATIENCE", 0.0)
        monkeypatch.setattr(trial, "_LATE", 0.0)
        if kind is None:
            return trial.measure_bare(server, asking, 5)(1.0)
        return trial.measure(server, asking, kind, 5)(1.0)

    return measure


@pytest.mark.parametrize(
    ("kind", "asking", "keeps"),
    [
        (trial.Kind.HIT, HIT, True),
        (trial.Kind.MATCH, HIT, True),
        (trial.Kind.MISS, NEW, True),
        (trial.Kind.PASS, HIT, False),
        (None, HIT, False),
        (None, NEW, False),
    ],
)
def test_who_answers_from_the_right_place_may_compete(
    contest: Callable[..., Slice], kind: trial.Kind | None, asking: Asking, *, keeps: bool
) -> None:
    """A cache at hits and at misses that it stores, the app at everything else."""
    assert contest(MadeUp(keeps=keeps), asking, kind).operations == 5


@pytest.mark.parametrize(
    ("kind", "asking", "server", "told"),
    [
        (trial.Kind.HIT, HIT, MadeUp(keeps=False), "nothing was stored"),
        (trial.Kind.HIT, HIT, MadeUp(keeps=True, forgets=1), "the app ran for what was stored"),
        (trial.Kind.MATCH, HIT, MadeUp(keeps=True, matches=False), "not 304"),
        (trial.Kind.MATCH, HIT, MadeUp(keeps=True, forgets=1), "the app ran for what was stored"),
        (trial.Kind.PASS, HIT, MadeUp(keeps=True), "what must not be stored was"),
        (trial.Kind.PASS, HIT, MadeUp(keeps=False, forgets=-3), "the app ran"),
        (trial.Kind.MISS, NEW, MadeUp(keeps=False), "nothing was stored"),
        (None, HIT, MadeUp(keeps=True), "the app ran"),
        (None, HIT, MadeUp(keeps=False, forgets=1), "the app ran"),
    ],
)
def test_who_answers_from_elsewhere_has_failed(
    contest: Callable[..., Slice], kind: trial.Kind | None, asking: Asking, server: MadeUp, told: str
) -> None:
    """Each of these would be faster, or slower, than what its row is about."""
    with pytest.raises(ValueError, match=told):
        contest(server, asking, kind)


def test_a_miss_that_was_not_stored_in_the_slice_has_failed(
    contest: Callable[..., Slice], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that stores when it is tried out, and no longer under load."""
    server = MadeUp(keeps=True)
    turn = server.turn

    def forgetful(asking: Asking, count: int) -> Turn:
        try:
            return turn(asking, count)
        finally:
            server.kept.clear()

    monkeypatch.setattr(server, "turn", forgetful)
    with pytest.raises(ValueError, match="the last answer was not stored"):
        contest(server, NEW, trial.Kind.MISS)


def test_requests_are_whole_and_new_ones_differ() -> None:
    """A query of its own where the row is about misses; a POST says that its body is empty."""
    assert (
        HIT.request(80, 1) == HIT.request(80, 2) == b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1:80\r\nAccept: */*\r\n\r\n"
    )
    assert NEW.request(80, 1) != NEW.request(80, 2)
    assert b"\r\nContent-Length: 0\r\n\r\n" in Asking("/", "POST").request(80, 0)
    assert b"\r\nRange: bytes=0-\r\n" in Asking("/", fields=(("Range", "bytes=0-"),)).request(80, 0)


@dataclass(slots=True)
class Scripted(asyncio.Protocol):
    """A server on a socket that answers each request with the next of its answers, in two pieces."""

    answers: Iterator[bytes]
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        answer = next(self.answers, b"")
        if not answer:
            self.transport.close()
            return
        self.transport.write(answer[:30])
        asyncio.get_running_loop().call_later(0.001, self.transport.write, answer[30:])  # a packet of its own


@asynccontextmanager
async def scripted(answers: Iterator[bytes]) -> AsyncIterator[int]:
    """Listen for the time of a block."""
    server = await asyncio.get_running_loop().create_server(lambda: Scripted(answers), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def message(body: bytes, status: int = 200) -> bytes:
    """Return an answer as it goes over the wire."""
    return b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def load(answers: Iterator[bytes], first: Answer, seconds: float = 0.02) -> Turn:
    """Load a scripted server over two connections."""

    async def run() -> Turn:
        async with scripted(answers) as port:
            return await take_turn(port, first, lambda: HIT.request(port, 0), 2, seconds, lambda: 0.0)

    return asyncio.run(run())


def test_the_load_counts_whole_answers() -> None:
    """However they come in pieces; those before the clock are not part of the slice."""
    given: list[bytes] = []

    def give() -> bytes:
        given.append(message(b"hello"))
        return given[-1]

    turn = load(iter(give, b""), Answer(200, {}, b"hello"))
    assert turn.answers == len(given)
    assert turn.slice.operations == len(given) - 2 > 0
    assert turn.bodies == {b"hello"}
    assert turn.slice.wall >= 0.02


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (message(b"hello", 503), ValueError),
        (message(b"hello") + b"more", ValueError),
        (b"", ConnectionError),
    ],
    ids=["another status", "too long", "closed"],
)
def test_the_load_stops_at_an_answer_that_is_unlike_the_first(answer: bytes, error: type[Exception]) -> None:
    """An error page is quick to serve."""
    answers = iter([message(b"hello")] * 5 + [answer] * 50)
    with pytest.raises(error):
        load(answers, Answer(200, {}, b"hello"), seconds=10.0)


def test_the_load_refuses_chunks() -> None:
    """Their end is dear to see, and nobody sends a greeting so."""
    with pytest.raises(ValueError, match="chunks"):
        load(iter([]), Answer(200, {"transfer-encoding": "chunked"}, b"hello"))


def test_who_does_not_start_or_fails_the_trial_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others compete; a bare app is measured as such."""

    @contextmanager
    def serving(_server: str, builder: str, *_: object) -> Iterator[str]:
        if "hishel" in builder:
            msg = "the server did not start"
            raise RuntimeError(msg)
        yield builder

    def refuse(*_: object) -> None:
        trial.judge(False, "nothing was stored")

    monkeypatch.setattr(lineup, "serving", serving)
    monkeypatch.setattr(lineup.redis, "Redis", lambda **_: nullcontext(_Emptied()))
    monkeypatch.setattr(lineup, "measure_bare", lambda *_: lambda _: Slice(1, 1.0, 1.0))
    monkeypatch.setattr(lineup, "measure", refuse)
    subjects = {name: SUBJECTS[name] for name in (BARE_ASGI, OURS, "hishel")}
    with lineup.lineup(ROWS[0], subjects, 0, Path("/nowhere")) as ready:
        assert [contender.name for contender in ready.contenders] == [BARE_ASGI]
        assert ready.failures == {
            OURS: "ValueError: nothing was stored",
            "hishel": "RuntimeError: the server did not start",
        }


class _Emptied:
    def flushall(self) -> None:
        """Forget nothing."""


def test_an_environment_is_made_once_and_told_if_it_cannot_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What pip did not finish is made anew; without requirements it is ours."""
    made: list[Path] = []
    codes = iter([1, 0])

    class Done:
        stderr = b"first\nno such package\n"

        def __init__(self) -> None:
            self.returncode = next(codes)

    def create(home: Path, **_: object) -> None:
        home.mkdir(parents=True, exist_ok=True)
        made.append(home)

    monkeypatch.setattr(environments.venv, "create", create)
    monkeypatch.setattr(environments.subprocess, "run", lambda *_, **__: Done())
    assert environments.python_with((), tmp_path) == sys.executable
    with pytest.raises(RuntimeError, match="not installed: no such package"):
        environments.python_with(("peer<2",), tmp_path)
    python = environments.python_with(("peer<2",), tmp_path)
    assert environments.python_with(("peer<2",), tmp_path) == python
    assert len(made) == 2
    assert Path(python).is_relative_to(made[0])


def test_a_server_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The last line that it wrote is the reason."""
    program = tmp_path / "serve.py"
    program.write_text("raise ImportError('no such middleware')")
    monkeypatch.setattr(processes, "_SERVE", program)
    with pytest.raises(RuntimeError, match="no such middleware"), processes.serving("uvicorn", "a:b", 0):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell no process's memory so")
def test_a_server_s_time_and_memory_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What it used before it was asked, and the most it held since the peak was forgotten."""
    program = tmp_path / "serve.py"
    program.write_text("import time; held = b'x' * (40 << 20); del held; print(1, flush=True); time.sleep(60)")
    monkeypatch.setattr(processes, "_SERVE", program)
    with processes.serving("uvicorn", "a:b", 0) as server:
        assert server.cpu_seconds() > 0
        assert server.memory("VmHWM") - server.memory() > 30 << 20
        server.forget_peak()
        assert server.memory("VmHWM") - server.memory() < 10 << 20


def test_the_app_numbers_its_runs_and_makes_its_pieces_anew() -> None:
    """Else a hit would look like a run, and who gathers a long body as one who does not."""
    assert int(bare.greet()["run"]) + 1 == int(bare.greet()["run"])
    pieces = list(bare.pieces(1))
    assert sum(map(len, pieces)) == bare.MIB
    assert len(set(pieces)) == len(pieces) == 16
    assert bare.fields_of_stream({"mib": "2", "told": "yes"})["Content-Length"] == str(2 * bare.MIB)
    assert "Content-Length" not in bare.fields_of_stream({"mib": "2", "told": "no"})

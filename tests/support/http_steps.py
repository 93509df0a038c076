"""Words for what happens in an HTTP world, so that a scenario fits into a few lines of a table.

    Case("9111-4.2.1 max-age", miss("Cache-Control: max-age=60"), later(59), hit(), later(1), miss())

The app numbers its answers: `hit(2)` is the answer from the store that the second request to the app brought. A step
says what the client sends, what the app answers if it is asked, and what both are to see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pytest

from holdfast import Layer
from support.http_clients import Got
from support.http_world import Says, World, colour_of
from support.peeking import idle

Test = TypeVar("Test", bound=Callable[..., None])

FRESH: Final = "Cache-Control: max-age=3600"
STALE: Final = "Cache-Control: max-age=0"
_LAST: Final = b"#"
"""Stands for what the app has just answered."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request, or a pause before the next."""

    line: str = "GET /"
    wants: tuple[str, ...] = ()
    app: tuple[Says, ...] = ()
    """What the app answers; if it is empty, it must not be asked."""
    status: int = 200
    body: bytes | None = None
    """None = not looked at."""
    has: tuple[str, ...] = ()
    """Lines of the answer: a name with all its values, joined."""
    lacks: tuple[str, ...] = ()
    """Names that are not in the answer."""
    sees: tuple[str, ...] = ()
    """Lines of the request that the app gets."""
    hides: tuple[str, ...] = ()
    """Names that are not in the request that the app gets."""
    raises: bool = False
    told: str = ""
    """What Cache-Status says behind the name, at its beginning."""
    passes: float = 0.0
    """Seconds that go by; then there is no request."""
    purges: tuple[str, ...] = ()
    """URLs to purge; then there is no request."""


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario, named by the section of the RFC that it is about."""

    name: str
    steps: tuple[Step, ...]
    options: dict[str, Any]

    def __init__(self, name: str, /, *steps: Step, **options: Any) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "options", options)


def _lines(text: str | Iterable[str]) -> tuple[str, ...]:
    return tuple(text.splitlines()) if isinstance(text, str) else tuple(text)


def miss(
    *says: str,
    to: str = "GET /",
    wants: str = "",
    status: int = 200,
    body: bytes | None = None,
    gets: int | None = None,
    fails: str = "",
    pieces: int = 1,
    takes: float = 0.0,
    has: str = "",
    lacks: str = "",
    sees: str = "",
    hides: str = "",
    told: str = "fwd=",
) -> Step:
    """The app is asked, answers `says`, and the client gets that."""
    app = Says(says, status, body, fails, pieces, takes)
    return Step(
        to,
        _lines(wants),
        (app,),
        status if gets is None else gets,
        _body_of(to, status, body) if gets in {None, status} else None,
        _lines(has),
        _lines(lacks),
        _lines(sees),
        _lines(hides),
        bool(fails),
        told,
    )


def _body_of(line: str, status: int, body: bytes | None) -> bytes:
    if line.startswith("HEAD ") or status in {204, 304}:
        return b""
    return _LAST if body is None else body


def hit(
    run: int = 1,
    *,
    to: str = "GET /",
    wants: str = "",
    status: int = 200,
    body: bytes | None = None,
    has: str = "",
    lacks: str = "",
    told: str = "hit;",
) -> Step:
    """The client gets what the app's answer number `run` left in the store, and the app is not asked."""
    if body is None:
        body = b"run %d" % run if status == 200 and not to.startswith("HEAD") else b""
    return Step(to, _lines(wants), (), status, body, _lines(has), _lines(lacks), told=told)


def confirmed(
    *says: str,
    run: int = 1,
    to: str = "GET /",
    wants: str = "",
    status: int = 200,
    body: bytes | None = None,
    has: str = "",
    lacks: str = "",
    sees: str = "",
    hides: str = "",
    told: str = "fwd=",
) -> Step:
    """The app is asked, says with a 304 that a stored answer is still good, and the client gets that one."""
    if body is None:
        body = b"run %d" % run if status == 200 else b""
    app = (Says(says, 304),)
    return Step(
        to, _lines(wants), app, status, body, _lines(has), _lines(lacks), _lines(sees), _lines(hides), told=told
    )


def instead(
    *says: str, run: int = 1, to: str = "GET /", wants: str = "", status: int = 503, fails: str = "", has: str = ""
) -> Step:
    """The app is asked and fails, and the client gets a stored answer."""
    return Step(to, _lines(wants), (Says(says, status, None, fails),), 200, b"run %d" % run, _lines(has), told="fwd=")


def behind(*says: str, run: int = 1, to: str = "GET /", wants: str = "", status: int = 200, sees: str = "") -> Step:
    """The client gets a stored answer at once, and the app is asked behind."""
    app = (Says(says, status),)
    return Step(to, _lines(wants), app, 200, b"run %d" % run, sees=_lines(sees), told="hit;")


def later(seconds: float) -> Step:
    """Time goes by."""
    return Step(passes=seconds)


def purge(*urls: str) -> Step:
    """The app's owner purges URLs."""
    return Step(purges=urls)


def cases(*all_of: Case, fronts: Sequence[str] = ("asgi", "wsgi")) -> Callable[[Test], Test]:
    """Return the mark that runs a test with each case in each front.

    Args:
        all_of: the cases.
        fronts: some of `FRONTS`; all of them where it matters how a body comes.
    """
    ids = [each.name.replace(" ", "-") for each in all_of]
    assert len(set(ids)) == len(ids), sorted(each for each in ids if ids.count(each) > 1)

    def mark(test: Test) -> Test:
        for each in (pytest.mark.parametrize("case", all_of, ids=ids), pytest.mark.parametrize("front", fronts)):
            test = each(test)
        return test

    return mark


def play(case: Case, front: str, namespace: str, url: str | None = None) -> None:
    """Play a scenario and check every step of it; in the embedded backend, unless another place is named."""
    colour = colour_of(front)

    async def scenario() -> None:
        async with colour.using(Layer(url or f"memory://{namespace}", namespace=namespace)) as layer:
            world = World(front, layer, **case.options)
            for at, step in enumerate(case.steps):
                if step.passes:
                    world.clock.now += step.passes
                elif step.purges:
                    await colour.of(layer.http_cache).purge(*step.purges)
                else:
                    await _played(world, step, f"step {at} of {case.name}: {step.line} {list(step.wants)}")

    colour.run(scenario)


async def _played(world: World, step: Step, where: str) -> None:
    origin, colour = world.origin, colour_of(world.front)
    before = len(origin.seen)
    origin.script = list(step.app)
    got = await world.ask(step.line, step.wants)
    await colour.until(lambda: idle(world.layer), "all is done behind")
    asked = origin.seen[before:]
    told = got.fields.get("cache-status")
    shown = f"{where}\n  got {got.line} {dict(got.fields.pairs)} {got.body[:80]!r} {got.error!r}"
    assert len(asked) == len(step.app), f"the app was asked {len(asked)} times, not {len(step.app)}: {shown}"
    assert bool(got.error) == step.raises, shown
    if step.raises:
        return
    assert got.status == step.status, shown
    if step.body is not None:
        assert got.body == (b"run %d" % len(origin.seen) if step.body is _LAST else step.body), shown
    _check_fields(world, got, step.has, step.lacks, shown)
    if step.told:
        assert (told or "").rpartition(", ")[2].partition(";")[2].startswith(step.told), shown
    for each in asked[:1]:
        _check_fields(world, each, step.sees, step.hides, f"{shown}\n  the app saw {dict(each.fields.pairs)}")


def _check_fields(world: World, got: Got, has: Sequence[str], lacks: Sequence[str], where: str) -> None:
    for name, value in world.clock.pairs(has):
        found = got.fields.get(name.lower())
        assert found == value, f"{name} is {found!r}, not {value!r}: {where}"
    for name in lacks:
        assert name.lower() not in got.fields, f"{name} is there: {where}"

"""What clients are told at the edge, in ASGI and WSGI alike: fields once, refusals, the user's own refusals."""

from __future__ import annotations

import json
from typing import Any

import http_sf
import pytest

from holdfast import ConfigurationError, Layer
from holdfast.web import LimitRule
from support.colours import Colour
from support.edge_limits import Made, Site

pytestmark = pytest.mark.usefixtures("patient_limits")


def test_every_answer_tells_what_is_left(colour: Colour, layer: Layer) -> None:
    """In fields that a parser of somebody else understands, also on errors of the app's own; nothing about waiting."""

    async def scenario() -> None:
        site = Site(colour, layer, lambda _: Made(404), quota="3/minute, 9/hour")
        for left in (2, 1, 0):
            reply = await site.ask()
            assert (reply.status, reply.get("Retry-After"), reply.get("Cache-Control")) == (404, None, None)
            assert reply.members("RateLimit-Policy") == {
                "per-minute": {"q": 3, "w": 60},
                "per-hour": {"q": 9, "w": 3600},
            }
            assert reply.left == {"per-minute": left, "per-hour": 6 + left}
            assert all(0 < member["t"] <= 3600 for member in reply.members("RateLimit").values())
        assert site.decisions[0].remaining == 2

    colour.run(scenario)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_refusal_is_a_problem_that_nobody_keeps(colour: Colour, layer: Layer, method: str) -> None:
    """The app never sees the request; the answer to a HEAD has the fields and no body."""

    async def scenario() -> None:
        site = Site(colour, layer, quota="1/minute")
        assert await site.statuses(1) == [200]
        reply = await site.ask(method=method)
        assert (reply.status, len(site.calls)) == (429, 1)
        assert 0 < int(reply.get("Retry-After") or "") <= 60
        assert (reply.get("Content-Type"), reply.get("Cache-Control")) == ("application/problem+json", "no-store")
        assert reply.left == {"per-minute": 0}
        if method == "HEAD":
            assert reply.body == b""
            return
        problem = json.loads(reply.body)
        assert int(reply.get("Content-Length") or "") == len(reply.body)
        assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
        assert (problem["status"], problem["violated-policies"]) == (429, ["per-minute"])

    colour.run(scenario)


@pytest.mark.parametrize(
    ("dialect", "names"),
    [
        ("draft-11", {"RateLimit-Policy", "RateLimit"}),
        ("editor", {"RateLimit-Policy", "RateLimit"}),
        ("legacy", {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}),
        ("x-ratelimit", {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}),
        ("off", set()),
    ],
)
def test_fields_are_in_the_dialect_that_the_user_wants(
    colour: Colour, layer: Layer, dialect: Any, names: set[str]
) -> None:
    """A refusal has Retry-After in each."""

    async def scenario() -> None:
        site = Site(colour, layer, quota="1/minute", dialect=dialect)
        first, second = await site.ask(), await site.ask()
        assert {name.lower() for name, _ in first.fields} == {name.lower() for name in names}
        assert (second.status, second.get("Retry-After") is not None) == (429, True)

    colour.run(scenario)


@pytest.mark.parametrize(
    "own",
    [
        (("RateLimit", '"mine";r=1'), ("RateLimit-Policy", '"mine";q=2')),
        (("RateLimit", '"mine";r=1'),),
        (("X-RateLimit-Limit", "5"),),
        (("rAtElImIt-Reset", "5"),),
    ],
)
@pytest.mark.parametrize("concurrency", [None, 2])
def test_what_the_app_says_of_limits_stays_and_ours_is_left_out(
    colour: Colour, layer: Layer, own: tuple[tuple[str, str], ...], concurrency: int | None
) -> None:
    """Never two opinions in one response; also its Retry-After is its own."""

    async def scenario() -> None:
        made = Made(429, (*own, ("Retry-After", "7")))
        site = Site(colour, layer, lambda _: made, rules=[LimitRule("9/hour", concurrency=concurrency)])
        reply = await site.ask()
        assert {(name.lower(), value) for name, value in reply.fields} == {
            (name.lower(), value) for name, value in made.fields
        }

    colour.run(scenario)


def test_a_decorated_handler_inside_tells_its_own(colour: Colour, layer: Layer) -> None:
    """Its refusal is narrower than what the edge knows."""

    async def scenario() -> None:
        def respond(_: str) -> Made:
            decision = layer.limiter.hit("1/day", "inner")
            return Made(200 if decision else 429, tuple(decision.headers()))

        site = Site(colour, layer, respond, quota="9/hour")
        replies = [await site.ask() for _ in range(2)]
        assert [list(reply.left) for reply in replies] == [["per-day"]] * 2
        assert [reply.status for reply in replies] == [200, 429]

    colour.run(scenario)


def test_two_middlewares_tell_once(colour: Colour, layer: Layer) -> None:
    """The inner one's fields stay; each counts for itself."""

    async def scenario() -> None:
        inner = Site(colour, layer, rules=[LimitRule("5/day", name="inner")])
        outer = Site(colour, layer, rules=[LimitRule("9/day", name="outer")])
        outer.app.app = inner.app
        assert (await outer.ask()).left == {"inner": 4}
        inner.app.app = outer._asgi if colour.is_async else outer._wsgi
        assert await outer.statuses(5) == [200] * 4 + [429]

    colour.run(scenario)


@pytest.mark.parametrize("concurrency", [None, 1])
def test_a_user_may_refuse_in_his_own_words(colour: Colour, layer: Layer, concurrency: int | None) -> None:
    """With the fields that every refusal has, unless they are there; None is the usual answer."""
    answers: list[Any] = [(418, {"Content-Type": "text/plain", "cache-control": "private"}, "no tea"), None]

    async def scenario() -> None:
        def refuse(request: Any, decision: Any) -> Any:
            assert (request.path, decision.allowed) == ("/", False)
            return answers.pop(0)

        rules = [LimitRule("1/hour", concurrency=concurrency)]
        site = Site(colour, layer, rules=rules, on_refused=colour.function(refuse))
        await site.ask()
        own, usual = await site.ask(), await site.ask()
        assert (own.status, own.body, own.get("Content-Length")) == (418, b"no tea", "6")
        assert (own.get("Cache-Control"), own.get("Retry-After") is None) == ("private", False)
        assert (usual.status, usual.get("Cache-Control")) == (429, "no-store")

    colour.run(scenario)


@pytest.mark.parametrize("answer", ["no", 429, (429, {}), (429, {}, 7), ("x", {}, b"")])
def test_an_answer_that_is_none_is_a_mistake(colour: Colour, layer: Layer, answer: Any) -> None:
    """The message says what is one."""

    async def scenario() -> None:
        site = Site(colour, layer, quota="1/hour", on_refused=lambda *_: answer)
        await site.ask()
        with pytest.raises(ConfigurationError, match="on_refused= must return None, or"):
            await site.ask()

    colour.run(scenario)


def test_many_policies_stay_readable(colour: Colour, layer: Layer) -> None:
    """Each has a name of its own in both fields, in the same order."""

    async def scenario() -> None:
        rules = [LimitRule("9/hour, 5/minute", by=None, concurrency=3) for _ in range(3)]
        site = Site(colour, layer, quota="9/hour", rules=rules)
        for _ in range(2):
            reply = await site.ask()
            names = list(reply.members("RateLimit-Policy"))
            assert names == list(reply.left)
            assert len(names) == len(set(names)) == 10
            assert len(http_sf.parse((reply.get("RateLimit") or "").encode(), tltype="list")) == 10

    colour.run(scenario)

"""What `IdempotencyMiddleware` promises to clients, under ASGI and WSGI alike."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from holdfast import ConfigurationError, Layer
from holdfast.events import EntryUnreadable, KeyConflict, Replayed, ResultUnkept, StillRunning
from holdfast.policy.http.fields import Pairs
from holdfast.web.idempotency_identity import CREDENTIALS
from support.colours import Colour
from support.once_web import TEXT, Asked, Says, Site, count
from support.peeking import told
from support.staged import Stage
from support.topologies import Topology

REPLAYED: Final = "Idempotency-Replayed"


def kind_of(body: bytes) -> str:
    """Return the type of a problem, without what all of them begin with."""
    return str(json.loads(body)["type"]).removeprefix("tag:holdfast,2026:idempotency-")


def test_a_repetition_gets_the_first_answer(colour: Colour, topology: Topology, namespace: str) -> None:
    """Status, fields and body, in their order, without what belongs to one message; the app runs once."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            events, site = told(layer, Replayed), Site(colour, layer)
            first, *others = [await site.ask(key) for key in ('"k"', "k", ' "k";a=1 ', '"k"')]
            assert (first.status, first.body, site.runs) == (201, b"run 1", 1)
            assert first.fields.pairs == (TEXT, ("Set-Cookie", "a=b"), ("Date", "today"), ("X-A", "1"))
            for other in others:
                assert (other.status, other.body) == (201, b"run 1")
                assert {(name.title(), value) for name, value in other.fields.pairs} == {
                    TEXT,
                    ("X-A", "1"),
                    (REPLAYED, "true"),
                }
            assert (await site.ask('"other"')).body == b"run 2"
            assert [event.pattern for event in events] == ["idempotency"] * 3

    colour.run(scenario)


@pytest.mark.parametrize("wait", [0, 30])
def test_a_hundred_at_once(colour: Colour, topology: Topology, namespace: str, wait: int) -> None:
    """The app runs once; with `wait` all get its answer, and otherwise those who are too early get 409."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            gate = colour.gate()

            async def slow(asked: Asked) -> Says:
                await gate.passed()
                return await count(asked)

            site = Site(colour, layer, slow, {"wait": wait})
            events = told(layer, StillRunning)

            async def let_go() -> None:
                await colour.until(lambda: gate.waiting, "the app runs")
                if not wait:
                    await colour.until(lambda: events, "somebody is turned away")
                gate.open()

            *answers, _ = await colour.together(*[site.asker()] * 100, let_go)
            assert site.runs == 1
            found = {(got.status, got.body if got.status == 201 else kind_of(got.body)) for got in answers}
            assert found == {(201, b"run 1"), *([] if wait else [(409, "in-progress")])}
            assert {got.fields.get("retry-after") for got in answers if got.status == 409} == (set() if wait else {"1"})
            assert (await site.ask()).fields.get(REPLAYED.lower()) == "true"

    colour.run(scenario)


@pytest.mark.parametrize("when", ["running", "done"])
@pytest.mark.parametrize(
    "other",
    [
        {"body": b"y"},
        {"target": "/pay?a=1"},
        {"fields": (("Content-Type", "text/html"),)},
    ],
    ids=["body", "query", "content type"],
)
def test_another_payload_under_a_key_is_refused(colour: Colour, layer: Layer, when: str, other: dict[str, Any]) -> None:
    """It is 422, while the first is worked on and after, and does not reach the app."""

    async def scenario() -> None:
        gate, events = colour.gate(), told(layer, KeyConflict)

        async def slow(asked: Asked) -> Says:
            await gate.passed()
            return await count(asked)

        site = Site(colour, layer, slow)

        async def ask_other() -> Any:
            await colour.until(lambda: site.runs, "the app runs")
            if when == "done":
                gate.open()
                await colour.until(lambda: kept(layer), "the answer is kept")
            got = await site.ask(
                '"k"', other.get("body", b"x"), *other.get("fields", ()), target=other.get("target", "/pay")
            )
            gate.open()
            return got

        first, second = await colour.together(site.asker(), ask_other)
        assert (first.status, site.runs) == (201, 1)
        assert (second.status, kind_of(second.body), len(events)) == (422, "key-reused", 1)

    colour.run(scenario)


def kept(layer: Layer) -> bool:
    """Say whether nothing is at work under a key any more."""
    return not layer.engine.idempotency.runs._renewals.of_length(30.0)


@pytest.mark.parametrize(
    ("key", "status"),
    [
        (None, 201),
        ("", 400),
        ('""', 400),
        ('"a', 400),
        ('"a" x', 400),
        ('"a", "b"', 400),
        ("a, b", 400),
        ('"a", key="b"', 400),
        ("a b", 400),
        ("a;b=1", 400),
        ('"\\a"', 400),
        ("x" * 255, 201),
        ("x" * 256, 400),
        (f'"{"x" * 256}"', 400),
        ('"' + "\\\\" * 255 + '"', 201),
        ("caf\u00e9", 400),
        (":aGk=:", 201),
    ],
)
def test_keys(colour: Colour, layer: Layer, key: str | None, status: int) -> None:
    """One String of 1 to 255 signs, or the same without quotes; anything else is 400, and does not reach the app."""

    async def scenario() -> None:
        site = Site(colour, layer)
        got = await site.ask(key)
        assert got.status == status
        if status == 400:
            assert (kind_of(got.body), site.runs) == ("key-malformed", 0)
            assert got.fields.get("content-type") == "application/problem+json"
            assert got.fields.get("cache-control") == "no-store"

    colour.run(scenario)


def test_where_a_key_is_required(colour: Colour, layer: Layer) -> None:
    """Without one a request is 400 there, and passes elsewhere; a strict middleware takes Strings only."""

    async def scenario() -> None:
        site = Site(colour, layer, count, {"required": ["/pay"], "exempt": ["/pay/free"], "strict": True})
        asked = [await site.ask(None, target=target) for target in ("/pay", "/pay/now", "/other", "/pay/free")]
        assert [got.status for got in asked] == [400, 400, 201, 201]
        assert kind_of(asked[0].body) == "key-missing"
        assert [(await site.ask(key)).status for key in ("bare", '"k"')] == [400, 201]
        everywhere = Site(colour, layer, count, {"required": True, "header": "X-Once"})
        assert (await everywhere.ask(None, target="/other")).status == 400
        assert (await everywhere.ask(None, b"x", ("X-Once", "a"))).status == 201

    colour.run(scenario)


def test_what_is_left_alone(colour: Colour, layer: Layer) -> None:
    """Other methods, exempt paths and requests without a key reach the app each time; so does all while disabled."""

    async def scenario() -> None:
        site = Site(colour, layer, count, {"exempt": ["/stream"]})
        for options in (
            {"method": "GET"},
            {"method": "HEAD"},
            {"method": "PUT"},
            {"target": "/stream/1"},
            {"key": None},
        ):
            before = site.runs
            for _ in range(2):
                assert (await site.ask(**options)).fields.get(REPLAYED.lower()) is None
            assert site.runs == before + 2
            assert site.got[-1].info is None
        with layer.disabled():
            await site.ask()
            await site.ask()
        assert site.runs == 12
        deletes = Site(colour, layer, count, {"methods": ["DELETE"]})
        assert [(await deletes.ask(method="DELETE")).body for _ in range(2)] == [b"run 1"] * 2

    colour.run(scenario)


CLIENTS: Final[dict[str, tuple[Pairs, Pairs]]] = {
    "Authorization": ((("Authorization", "Bearer a"),), (("Authorization", "Bearer b"),)),
    "cookies": ((("Cookie", "id=a"),), (("Cookie", "id=b"),)),
    "no cookie": ((("Cookie", "id=a"),), ()),
    "cookies beside one Authorization": (
        (("Authorization", "Bearer a"), ("Cookie", "id=a")),
        (("Authorization", "Bearer a"), ("Cookie", "id=b")),
    ),
}


@pytest.mark.parametrize("clients", CLIENTS.values(), ids=CLIENTS)
def test_nobody_gets_the_answer_of_another(colour: Colour, layer: Layer, clients: tuple[Pairs, Pairs]) -> None:
    """The same key of another client, on another host, path or by another method is another key."""

    async def scenario() -> None:
        site = Site(colour, layer)
        one, two = clients
        assert [(await site.ask('"k"', b"x", *who)).body for who in (one, two, one, two)] == [
            b"run 1",
            b"run 2",
            b"run 1",
            b"run 2",
        ]
        assert (await site.ask('"k"', b"x", *one, host="other.example")).body == b"run 3"
        assert (await site.ask('"k"', b"x", *one, target="/refund")).body == b"run 4"
        assert (await site.ask('"k"', b"x", *one, method="PATCH")).body == b"run 5"

    colour.run(scenario)


@pytest.mark.parametrize("field", CREDENTIALS)
def test_every_usual_credential_makes_a_client(colour: Colour, layer: Layer, field: str) -> None:
    """Who shows another API key or token, in whichever field, never gets the answer of the first."""

    async def scenario() -> None:
        site = Site(colour, layer)
        bodies = [(await site.ask('"k"', b"x", (field.title(), who))).body for who in ("alice", "mallory", "alice")]
        assert bodies == [b"run 1", b"run 2", b"run 1"]
        assert (await site.ask()).body == b"run 3"

    colour.run(scenario)


def test_cookies_that_count_visitors_do_not_make_another_client(colour: Colour, layer: Layer) -> None:
    """They change at any time, and so does the order of cookies."""

    async def scenario() -> None:
        site = Site(colour, layer)
        for cookie in ("id=a; _ga=1; lang=en", "lang=en; id=a", "_ga_X=7; id=a; _gid=4; lang=en"):
            assert (await site.ask('"k"', b"x", ("Cookie", cookie))).body == b"run 1"

    colour.run(scenario)


def test_a_client_by_a_function_of_the_request(colour: Colour, layer: Layer) -> None:
    """`identity` says whose a key is, plain or under ASGI async; where it does not, the default does."""

    def by_account(request: Any) -> Any:
        return request.get("x-account")

    async def by_account_later(request: Any) -> Any:
        return by_account(request)

    async def scenario() -> None:
        for number, identity in enumerate([by_account, *([by_account_later] if colour.is_async else [])]):
            site = Site(colour, layer, count, {"identity": identity, "namespace": f"{number}"})
            whose: list[Pairs] = [
                (("X-Account", "1"), ("Cookie", "a=1")),
                (("X-Account", "1"), ("Cookie", "a=2")),
                (("X-Account", "2"), ("Cookie", "a=1")),
                (("Cookie", "a=1"),),
                (("Cookie", "a=2"),),
            ]
            bodies = [(await site.ask('"k"', b"x", *each)).body for each in whose]
            assert bodies == [b"run 1", b"run 1", b"run 2", b"run 3", b"run 4"]
        for wrong in (7, ""):
            site = Site(colour, layer, count, {"identity": lambda request, wrong=wrong: wrong})
            assert isinstance((await site.ask()).error, ConfigurationError)
            assert site.runs == 0

    colour.run(scenario)


class _Session:
    """What a session middleware leaves outside."""

    def __init__(self, handle: str, user: str | None) -> None:
        self.handle, self.user = handle, user


def test_a_session_stands_for_its_user(colour: Colour, layer: Layer) -> None:
    """However its cookie changes; without a user it stands for itself."""

    async def scenario() -> None:
        site = Site(colour, layer)
        inner, session = site.middleware, _Session("h", None)
        name = "session" if colour.is_async else "holdfast.session"

        def outer(raw: Any, *rest: Any) -> Any:
            raw[name] = session
            return inner(raw, *rest)

        site.middleware = outer
        bodies = []
        for cookie, handle, user in (
            ("a", "h", None),
            ("b", "h", None),
            ("b", "i", None),
            ("b", "i", "ada"),
            ("c", "j", "ada"),
            ("c", "j", "bob"),
            ("d", "", None),
            ("e", "", None),
        ):
            session.handle, session.user = handle, user
            bodies.append((await site.ask('"k"', b"x", ("Cookie", f"s={cookie}"))).body)
        assert bodies == [f"run {number}".encode() for number in (1, 1, 2, 3, 3, 4, 5, 6)]

    colour.run(scenario)


@pytest.mark.parametrize("status", [409, 423])
@pytest.mark.parametrize("most", [100, 3])
def test_an_error_that_says_when_to_come_frees_the_key(colour: Colour, layer: Layer, status: int, most: int) -> None:
    """However long it is."""

    async def scenario() -> None:
        async def fail_first(asked: Asked) -> Says:
            return Says(b"later", status, (("Retry-After", "1"),)) if asked.number == 1 else await count(asked)

        site = Site(colour, layer, fail_first, {"max_body": most})
        assert [(await site.ask()).status for _ in range(2)] == [status, 201]

    colour.run(scenario)


@pytest.mark.parametrize("status", [500, 503, 408, 425, 429])
def test_a_failure_frees_the_key(colour: Colour, layer: Layer, status: int) -> None:
    """A response that says that it may go well later is sent, and not kept: the next request runs the app."""

    async def scenario() -> None:
        async def fail_first(asked: Asked) -> Says:
            return Says(b"later", status) if asked.number == 1 else await count(asked)

        site = Site(colour, layer, fail_first)
        assert [((got := await site.ask()).status, got.body) for _ in range(3)] == [
            (status, b"later"),
            (201, b"run 2"),
            (201, b"run 2"),
        ]
        keeping = Site(colour, layer, fail_first, {"keep_errors": True, "namespace": "keeping"})
        again = status if status >= 500 else 201
        assert [(await keeping.ask()).status for _ in range(2)] == [status, again]

    colour.run(scenario)


@pytest.mark.parametrize("status", [200, 204, 303, 400, 401, 404, 409, 422])
def test_other_refusals_are_results(colour: Colour, layer: Layer, status: int) -> None:
    """They come back as success does."""

    async def scenario() -> None:
        async def refuse(asked: Asked) -> Says:
            return Says(b"" if status == 204 else b"so", status)

        site = Site(colour, layer, refuse)
        first, second = await site.ask(), await site.ask()
        assert (first.status, first.body) == (second.status, second.body) == (status, b"" if status == 204 else b"so")
        assert site.runs == 1

    colour.run(scenario)


@pytest.mark.parametrize("where", ["before", "in its body"])
def test_an_app_that_raises_frees_the_key(colour: Colour, layer: Layer, where: str) -> None:
    """The error goes on, nothing of the response reaches the client, and the next request runs the app."""

    async def scenario() -> None:
        async def fail_first(asked: Asked) -> Says:
            if asked.number > 1:
                return await count(asked)
            if where == "before":
                raise LookupError
            return Says([b"begun", LookupError()])

        site = Site(colour, layer, fail_first)
        first = await site.ask()
        assert (first.line, type(first.error)) == ("0", LookupError)
        assert [(await site.ask()).body for _ in range(2)] == [b"run 2"] * 2

    colour.run(scenario)


def test_a_response_that_is_too_long_is_done_and_not_kept(colour: Colour, layer: Layer) -> None:
    """It reaches its client whole, and is not made again: a repetition gets 409, which says so."""

    async def scenario() -> None:
        async def talk(asked: Asked) -> Says:
            return Says([b"x" * 60, b"y" * 60, b"z"])

        async def say_so(asked: Asked) -> Says:
            return Says(b"x" * 121, fields=(("Content-Length", "121"),))

        events = told(layer, ResultUnkept)
        for name, respond in (("pieces", talk), ("whole", say_so)):
            site = Site(colour, layer, respond, {"max_body": 100, "namespace": name})
            first = await site.ask()
            assert (first.status, len(first.body)) == (201, 121)
            again = await site.ask()
            assert (again.status, kind_of(again.body), site.runs) == (409, "result-not-kept", 1)
            assert again.fields.get("retry-after") is None
        exact = Site(colour, layer, talk, {"max_body": 121, "namespace": "exact"})
        assert (await exact.ask()).body == (await exact.ask()).body
        assert ([event.reason for event in events], exact.runs) == (["too long"] * 2, 1)

    colour.run(scenario)


def test_a_long_response_that_fails_frees_the_key(colour: Colour, layer: Layer) -> None:
    """By its status, or since the app raises in the middle."""

    async def scenario() -> None:
        says = [Says([b"x" * 200], 500), Says([b"x" * 200, LookupError()]), Says(b"done")]
        site = Site(colour, layer, lambda asked: _soon(says[asked.number - 1]), {"max_body": 100})
        assert (await site.ask()).status == 500
        assert isinstance((await site.ask()).error, LookupError)
        assert [(await site.ask()).body for _ in range(2)] == [b"done"] * 2

    colour.run(scenario)


async def _soon(says: Says) -> Says:
    return says


def test_a_request_that_is_too_long_is_refused(colour: Colour, layer: Layer) -> None:
    """It is 413, and does not reach the app; one with just as many bytes does, whole."""

    async def scenario() -> None:
        site = Site(colour, layer, count, {"max_body": 100})
        got = await site.ask('"k"', b"x" * 101)
        assert (got.status, kind_of(got.body), site.runs) == (413, "body-too-large", 0)
        await site.ask('"k"', b"y" * 100)
        assert site.got[0].body == b"y" * 100
        assert (await site.ask(None, b"x" * 101)).status == 201

    colour.run(scenario)


def test_what_the_app_is_told(colour: Colour, layer: Layer) -> None:
    """Its key, and a fencing token that is greater with each run of one key."""

    async def scenario() -> None:
        async def fail(asked: Asked) -> Says:
            return Says(status=500)

        site = Site(colour, layer, fail)
        for _ in range(3):
            await site.ask('"the key"')
        fences = [asked.info.fencing_token for asked in site.got]
        assert [asked.info.key for asked in site.got] == ["the key"] * 3
        assert fences == sorted(set(fences))

    colour.run(scenario)


@pytest.mark.parametrize("policy", ["closed", "open"])
def test_without_redis(colour: Colour, layer: Layer, policy: str) -> None:
    """`closed` answers 503 and runs nothing; `open` runs the app, keeps nothing, and claims nothing."""

    async def scenario() -> None:
        stage, site = Stage(layer), Site(colour, layer, count, {"on_failure": policy})
        with stage.away():
            answers = [await site.ask() for _ in range(2)]
        if policy == "closed":
            assert [(got.status, kind_of(got.body)) for got in answers] == [(503, "unavailable")] * 2
            assert (answers[0].fields.get("retry-after"), site.runs) == ("1", 0)
        else:
            assert [(got.status, got.body) for got in answers] == [(201, b"run 1"), (201, b"run 2")]
            assert [got.fields.get(REPLAYED.lower()) for got in answers] == [None, None]
            assert site.got[0].info.fencing_token is None
        assert (await site.ask()).status == 201
        assert (await site.ask()).fields.get(REPLAYED.lower()) == "true"

    colour.run(scenario)


def test_an_answer_that_cannot_be_read_is_not_made_again(colour: Colour, topology: Topology, namespace: str) -> None:
    """Where its signature is not ours, a repetition gets 409, and the app does not run."""

    async def scenario() -> None:
        async with (
            colour.using(Layer(topology.url, namespace=namespace, secret="a" * 16)) as one,
            colour.using(Layer(topology.url, namespace=namespace, secret="b" * 16)) as two,
        ):
            assert (await Site(colour, one).ask()).status == 201
            site, events = Site(colour, two), told(two, EntryUnreadable)
            got = await site.ask()
            assert (got.status, kind_of(got.body), site.runs) == (409, "result-not-kept", 0)
            assert [event.reason for event in events] == ["signature"]

    colour.run(scenario)


BAD: Final[list[dict[str, Any]]] = [
    {"method": ["POST"]},
    {"methods": "POST"},
    {"methods": ["GET"]},
    {"methods": ["post"]},
    {"header": "a b"},
    {"required": "/pay"},
    {"required": ["pay"]},
    {"exempt": [7]},
    {"ttl": None},
    {"lease": 0},
    {"lease": "2d"},
    {"wait": -1},
    {"identity": "header"},
    {"max_body": -1},
    {"max_body": "1 MiB"},
    {"on_failure": "local"},
    {"namespace": "{"},
]


@pytest.mark.parametrize("options", BAD, ids=lambda options: str(next(iter(options.items()))))
def test_options_that_cannot_work(colour: Colour, layer: Layer, options: dict[str, Any]) -> None:
    """They are refused when the middleware is made, and the message names them."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Site(colour, layer, count, options)


def test_what_is_no_layer_is_refused(colour: Colour) -> None:
    """It is told when the middleware is made."""
    with pytest.raises(ConfigurationError, match="layer="):
        Site(colour, "redis://")  # type: ignore[arg-type]

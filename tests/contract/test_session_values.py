"""What a session holds: values of all kinds, those that cannot be read, signatures, and Starlette's contract."""

from __future__ import annotations

import datetime
import decimal
import logging
import uuid
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware.sessions import Session as StarletteSession
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from holdfast import Layer
from holdfast.asgi import SessionMiddleware
from holdfast.errors import SessionError
from holdfast.events import SessionUnreadable
from holdfast.sessions import Session
from support.asgi_client import AsgiClient
from support.http_world import FRONTS, colour_of
from support.peeking import ask, told
from support.session_site import Site
from support.staged import Stage

FRAMES = [b"", b"\1", b"garbage", b"\1\0" + b"a" * 32, b"\1\0" + b"a" * 300, b"\xff" * 80, b"secret value" * 20]


def damage(layer: Layer, session: Session, name: str, frame: bytes) -> None:
    """Put something in the place of a value."""
    key = layer.engine.caching.names.session(session.handle)
    ask(layer, "HSET", key, f".{name}", frame, key=key)


def stored(layer: Layer, session: Session, name: str) -> bytes:
    """Return the frame of a value."""
    key = layer.engine.caching.names.session(session.handle)
    found: bytes = ask(layer, "HGET", key, f".{name}", key=key)
    return found


def opened(layer: Layer, cookie: str) -> Session:
    """Return the session of a cookie, which is there."""
    session = layer.sessions.open(cookie)
    assert session is not None
    return session


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1.5,
        "",
        "ä\0🔑",
        b"\0\xff",
        (1, (2,)),
        [1, [2]],
        {1, 2},
        frozenset({1}),
        {"a": {"b": (1, {2})}},
        {1: "one", (2,): "two"},
        uuid.UUID(int=5),
        datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC),
        datetime.date(2026, 1, 2),
        datetime.timedelta(seconds=1.5),
        decimal.Decimal("1.10"),
    ],
    ids=str,
)
def test_values_come_back_as_they_were(layer: Layer, value: Any) -> None:
    """With their types."""
    _, cookie = layer.sessions.create({"a": value})
    found = opened(layer, cookie)["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["list"].append(1),
        lambda value: value["list"].__setitem__(0, 1.0),
        lambda value: value["list"].__setitem__(0, True),
        lambda value: value["set"].add(2),
        lambda value: value["dict"].pop("x"),
        lambda value: value["dict"].update(x=value["dict"].pop("x")),
        lambda value: value["dict"]["deep"]["deeper"].append(1),
        lambda value: value.clear(),
    ],
)
def test_changes_inside_are_found(layer: Layer, change: Any) -> None:
    """At any depth; the order of a dict counts, and so do types."""
    value = {"list": [1], "set": {1}, "dict": {"x": 1, "y": 2, "deep": {"deeper": []}}}
    _, cookie = layer.sessions.create({"a": value})
    session = opened(layer, cookie)
    change(session["a"])
    layer.sessions.save(session)
    assert repr(opened(layer, cookie)["a"]) == repr(session["a"])


def test_an_order_that_is_assigned(layer: Layer) -> None:
    """A dict that is assigned is stored in its order."""
    _, cookie = layer.sessions.create({"a": {"x": 1, "y": 2}})
    session = opened(layer, cookie)
    session["a"] = {"y": 2, "x": 1}
    layer.sessions.save(session)
    assert list(opened(layer, cookie)["a"]) == ["y", "x"]


@pytest.mark.parametrize("frame", FRAMES, ids=range(len(FRAMES)))
@pytest.mark.parametrize("signed", [False, True], ids=["plain", "signed"])
def test_what_cannot_be_read(frame: bytes, signed: bool, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    """Who reads it gets an error, hooks and the log hear of it, never with the value; all else works, and it can go."""
    with Layer(f"memory://{namespace}", namespace=namespace, secret="s" * 32 if signed else None) as layer:
        events = told(layer, SessionUnreadable)
        session, cookie = layer.sessions.create({"a": 1, "b": 2})
        for act in ("get", "assign", "delete"):
            damage(layer, session, "a", frame)
            found = opened(layer, cookie)
            assert (list(found), "a" in found, found["b"]) == (["a", "b"], True, 2)
            found["b"] = 2
            if act == "get":
                with pytest.raises(SessionError) as caught:
                    found.get("a")
                assert "secret value" not in str(caught.value)
            elif act == "assign":
                found["a"] = "new"
            else:
                del found["a"]
            layer.sessions.save(found)
            if act != "get":
                assert opened(layer, cookie).get("a") == ("new" if act == "assign" else None)
        assert {(each.handle, each.name) for each in events} == {(session.handle, "a")}
        assert "secret value" not in caplog.text + repr(events)
        assert any(each.levelno == logging.WARNING for each in caplog.records)


@pytest.mark.parametrize("front", FRONTS[:2])
def test_what_cannot_be_read_may_end_the_session(front: str, layer: Layer) -> None:
    """With on_unreadable="end" a request begins with an empty one, and its cookie goes; else it gets an error."""
    colour = colour_of(front)

    async def scenario() -> None:
        for mode in ("end", "raise"):
            site, seen = Site(front, layer, on_unreadable=mode), list[Any]()
            await site.ask(lambda session: session.update(a=1, b=2))
            value = site.value
            damage(layer, opened(layer, value), "a", b"garbage")

            def act(session: Any, seen: list[Any] = seen) -> None:
                try:
                    seen.append(dict(session))
                except SessionError:
                    seen.append("error")

            await site.ask(act)
            assert seen == [{} if mode == "end" else "error"]
            assert (site.cookie == "") is (mode == "end")
            assert (layer.sessions.open(value) is None) is (mode == "end")

    colour.run(scenario)


def test_signatures(namespace: str) -> None:
    """A value is good for its name in its session alone; secrets can be replaced one after the other."""
    url = f"memory://{namespace}"
    old, new = "o" * 32, "n" * 32
    with Layer(url, namespace=namespace, secret=old) as layer:
        session, cookie = layer.sessions.create({"a": "mine", "b": 2})
        other, _ = layer.sessions.create({"a": "another's"})
        true = stored(layer, session, "a")
        for frame in (stored(layer, session, "b"), stored(layer, other, "a"), true[:-1] + bytes([true[-1] ^ 1])):
            damage(layer, session, "a", frame)
            with pytest.raises(SessionError):
                opened(layer, cookie)["a"]
        damage(layer, session, "a", true)
        with Layer(url, namespace=namespace) as plain:
            damage(layer, session, "b", stored(plain, plain.sessions.create({"b": 3})[0], "b"))
        with pytest.raises(SessionError):
            opened(layer, cookie)["b"]
    with Layer(url, namespace=namespace, secret=[new, old]) as layer:
        found = opened(layer, cookie)
        assert found["a"] == "mine"
        found["a"] = "written anew"
        layer.sessions.save(found)
    with Layer(url, namespace=namespace, secret=new) as layer:
        assert opened(layer, cookie)["a"] == "written anew"
    with Layer(url, namespace=namespace, secret="x" * 32) as layer, pytest.raises(SessionError):
        opened(layer, cookie)["a"]


@pytest.mark.parametrize("front", FRONTS[:2])
@pytest.mark.parametrize("serializer", ["json", "msgpack", "tagged"])
def test_other_serializers(front: str, layer: Layer, serializer: str) -> None:
    """Changes are found and merged with each of them; one reads what another has stored."""
    colour = colour_of(front)

    async def scenario() -> None:
        first = Site(front, layer)
        await first.ask(lambda session: session.update(plain={"a": [1]}))
        site, other = (Site(front, layer, serializer=serializer) for _ in range(2))
        site.cookie = other.cookie = first.cookie
        seen: list[Any] = []

        async def act(session: Any) -> None:
            session["plain"]["a"].append(2)
            session["mine"] = {"x": 1}
            await other.ask(lambda session: (session["plain"].update(b=1), session.update(mine={"y": 1})))

        await site.ask(act)
        await site.ask(lambda session: seen.append(dict(session)))
        assert seen == [{"plain": {"a": [1, 2], "b": 1}, "mine": {"x": 1, "y": 1}}]

    colour.run(scenario)


def test_changes_by_functions_and_inside(layer: Layer) -> None:
    """What is changed in both ways in one request is stored, also if another was there first; nothing is done twice."""
    for order in (0, 1):
        _, cookie = layer.sessions.create({"n": {"count": 0}})
        one, two = opened(layer, cookie), opened(layer, cookie)
        acts = [
            lambda: one.change("n", lambda n: {**n, "count": n["count"] + 1}),  # noqa: B023 - called in this round
            lambda: one["n"].update(inside=1),  # noqa: B023
        ]
        for act in acts if order else reversed(acts):
            act()
        two["n"]["other"] = 1
        layer.sessions.save(two)
        layer.sessions.save(one)
        assert opened(layer, cookie)["n"] == {"count": 1, "inside": 1, "other": 1}


def test_a_function_sees_what_is_there(layer: Layer) -> None:
    """It is called again with the other's value, with the default where that was deleted, and never with ours."""
    for theirs, wanted in ((5, 7), (None, 2)):
        _, cookie = layer.sessions.create({"n": 1})
        one, two = opened(layer, cookie), opened(layer, cookie)
        assert one.change("n", lambda n: n + 1, 0) == 2
        assert one.change("n", lambda n: n + 1, 0) == 3
        if theirs is None:
            del two["n"]
        else:
            two["n"] = theirs
        layer.sessions.save(two)
        layer.sessions.save(one)
        assert opened(layer, cookie)["n"] == wanted
    with pytest.raises(KeyError):
        opened(layer, cookie).change("missing", lambda n: n)
    assert opened(layer, cookie).change("missing", lambda n: n + 1, 0) == 1


def test_a_function_without_a_default_beside_one_who_deletes(layer: Layer) -> None:
    """It never sees anything but values: there is none, and that is said as `change` says it."""
    _, cookie = layer.sessions.create({"n": 1})
    one, two = opened(layer, cookie), opened(layer, cookie)
    seen: list[Any] = []
    one.change("n", lambda n: (seen.append(n), 2)[1])
    del two["n"]
    layer.sessions.save(two)
    with pytest.raises((KeyError, SessionError)):
        layer.sessions.save(one)
    assert set(map(type, seen)) == {int}
    assert "n" not in opened(layer, cookie)


def test_deleting_beside_others(layer: Layer) -> None:
    """Who deletes a value that another changes, or changes one that another deletes: the later one counts."""
    for later in ("deletes", "assigns", "changes inside"):
        _, cookie = layer.sessions.create({"a": {"x": 1}})
        one, two = opened(layer, cookie), opened(layer, cookie)
        if later == "deletes":
            two["a"]["y"] = 2
            del one["a"]
        else:
            del two["a"]
            if later == "assigns":
                one["a"] = 1
            else:
                one["a"]["y"] = 2
        layer.sessions.save(two)
        layer.sessions.save(one)
        wanted = {"deletes": None, "assigns": 1, "changes inside": {"y": 2}}[later]
        assert opened(layer, cookie).get("a") == wanted


# Starlette's contract.

ACTS: dict[str, Any] = {
    "nothing": lambda session: None,
    "len": len,
    "bool": bool,
    "iterate": list,
    "get": lambda session: session.get("a"),
    "get missing": lambda session: session.get("z", 5),
    "contains": lambda session: ("a" in session, "z" in session),
    "items": lambda session: sorted(session.items()),
    "keys": lambda session: sorted(session.keys()),
    "values": lambda session: sorted(session.values()),
    "copy": lambda session: session.copy(),
    "equal": lambda session: session == {"a": 1, "b": 2},
    "or": lambda session: session | {"c": 3},
    "ror": lambda session: {"c": 3} | session,
    "set": lambda session: session.__setitem__("c", 3),
    "del": lambda session: session.__delitem__("a"),
    "del missing": lambda session: session.__delitem__("z"),
    "getitem missing": lambda session: session["z"],
    "pop": lambda session: session.pop("a"),
    "pop missing": lambda session: session.pop("z", 7),
    "pop missing raises": lambda session: session.pop("z"),
    "setdefault": lambda session: session.setdefault("a", 9),
    "setdefault missing": lambda session: session.setdefault("z", 9),
    "setdefault none": lambda session: session.setdefault("z"),
    "update": lambda session: session.update({"c": 3}, d=4),
    "update pairs": lambda session: session.update([("c", 3)]),
    "ior": lambda session: session.__ior__({"c": 3}) is session,
    "clear": lambda session: session.clear(),
    "mark_accessed": lambda session: session.mark_accessed(),
    "mark_modified": lambda session: session.mark_modified(),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_it_is_what_starlette_has(layer: Layer, act: Any) -> None:
    """The same results and errors, and `modified` and `accessed` where Starlette's has them."""
    theirs = StarletteSession({"a": 1, "b": 2})
    _, cookie = layer.sessions.create({"a": 1, "b": 2})
    ours = opened(layer, cookie)
    results: list[Any] = []
    for session in (theirs, ours):
        try:
            results.append(act(session))
        except KeyError as error:
            results.append(repr(error))
    assert results[0] == results[1]
    assert theirs.accessed <= ours.accessed
    if "KeyError" not in str(results):  # what raises has changed nothing, though Starlette's says so after `del`
        assert ours.modified == theirs.modified
    assert dict(theirs) == dict(ours)


def test_with_starlette(layer: Layer) -> None:
    """`request.session`, its cookie, and Redis away."""

    async def visits(request: Request) -> JSONResponse:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return JSONResponse(dict(request.session))

    async def plain(_: Request) -> JSONResponse:
        return JSONResponse({})

    app = Starlette(routes=[Route("/visits", visits), Route("/plain", plain)])
    app.add_middleware(SessionMiddleware, layer=layer)
    client = AsgiClient(app)
    first = client.get("/visits")
    headers = {"cookie": first.headers["set-cookie"].partition(";")[0]}
    assert client.ask("GET", "/visits", headers=headers).json() == {"visits": 2}
    got = client.ask("GET", "/plain", headers=headers)
    assert "vary" not in got.headers
    assert "set-cookie" not in got.headers
    with Stage(layer).away():
        assert client.ask("GET", "/visits", headers=headers).status_code == 503
        assert client.ask("GET", "/plain", headers=headers).status_code == 200

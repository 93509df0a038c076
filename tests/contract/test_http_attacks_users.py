"""One user's response never reaches another: what the app says of it, cookies, credentials, and who asks for more."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from holdfast import Layer
from support.colours import Colour
from support.http_shop import Asked, Got, Made, Pair, Pairs, Shop, asking_all, shown

ALICE: Pair = ("Authorization", "Bearer alice")
BOB: Pair = ("Authorization", "Bearer bob")
COOKIE_A: Pair = ("Cookie", "session=alice")
COOKIE_B: Pair = ("Cookie", "session=bob")
CHANGED: Pair = ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")


def says(*values: str) -> Pairs:
    return tuple(("Cache-Control", value) for value in values)


class Confidant:
    """An app that answers each user with what is theirs."""

    def __init__(self, *fields: Pair, cookie: str = "") -> None:
        self.fields = fields
        self.cookie = cookie
        self.status = 200
        self.fails = False

    async def __call__(self, asked: Asked) -> Made:
        if self.fails:
            raise ZeroDivisionError
        fields = list(self.fields)
        if self.cookie:
            fields.append(("Set-Cookie", self.cookie.format(asked.get("cookie"))))
        return Made(fields, [shown(asked)], self.status)


def has_leaked(secret: str, got: Got) -> bool:
    """Say whether a response shows what was one user's."""
    return secret in got.body.decode() or any(secret in value for _, value in got.fields)


PRIVATE: dict[str, Pairs] = {
    "private": says("private, max-age=60"),
    "private behind": says("max-age=60,private"),
    "in capitals": says("max-age=60, PRIVATE"),
    "in another line": says("max-age=60", "private"),
    "of one field": says('max-age=60, private="Set-Cookie"'),
    "of no field": says('max-age=60, private=""'),
    "with an argument": says("max-age=60, private=1"),
    "behind an open quote": says('max-age=60, x="y, private'),
    "behind a quoted comma": says('x="a, b", max-age=60, private'),
    "with spaces": says("max-age=60 ,\t private\t"),
    "against public": says("public, max-age=60, private"),
    "no-store": says("max-age=60, no-store"),
    "no-store against public": says("public, s-maxage=60, no-store"),
    "no-store with an argument": says("max-age=60, no-store=never"),
    "no-store behind an open quote": says('public, max-age=60, x="y, no-store'),
    "for CDNs": (*says("public, max-age=60"), ("CDN-Cache-Control", "private, max-age=60")),
    "no-store for CDNs": (*says("public, max-age=60"), ("CDN-Cache-Control", "no-store")),
    "Vary: *": (*says("public, max-age=60"), ("Vary", "*")),
    "Vary: * in a list": (*says("public, max-age=60"), ("Vary", "Accept, *")),
    "Vary: * in another line": (*says("public, max-age=60"), ("Vary", "Accept"), ("Vary", "*")),
    "Vary of no name": (*says("public, max-age=60"), ("Vary", "a b")),
    "Vary: Cookie and Authorization": (*says("public, max-age=60"), ("Vary", "cookie,AUTHORIZATION")),
    "Vary with empty members": (*says("public, max-age=60"), ("Vary", ",, Cookie ,"), ("vary", ",Authorization")),
}


@pytest.mark.parametrize("fields", PRIVATE.values(), ids=PRIVATE.keys())
def test_what_is_private_is_for_one(layer: Layer, colour: Colour, fields: Pairs) -> None:
    """However the app has written it: nobody else gets it, neither later nor while they wait, nor if the app raises."""

    async def scenario() -> None:
        app = Confidant(*fields)
        shop = Shop(colour, layer, app, {"stale_if_raises": "1h", "default_ttl": 60})
        await shop.ask("/", ALICE, COOKIE_A)
        for others in ((), (BOB,), (COOKIE_B,), (BOB, COOKIE_B)):
            assert not has_leaked("alice", await shop.ask("/", *others))
            assert not has_leaked("alice", await shop.ask("/", *others, ("Cache-Control", "max-stale")))
        app.fails = True
        with pytest.raises(ZeroDivisionError):
            await shop.ask("/", ("Cookie", "session=carol"))

    colour.run(scenario)


CREDENTIALS: dict[str, Pairs] = {
    "max-age": says("max-age=60"),
    "Expires": (("Expires", "Fri, 01 Jan 2100 00:00:00 GMT"),),
    "Last-Modified": (CHANGED,),
    "nothing": (),
    "an ETag": (("ETag", '"1"'),),
    "no-cache": (*says("no-cache"), ("ETag", '"1"')),
    "for CDNs": (("CDN-Cache-Control", "max-age=60"),),
}


@pytest.mark.parametrize("fields", CREDENTIALS.values(), ids=CREDENTIALS.keys())
def test_what_is_answered_to_credentials_is_for_their_owner(layer: Layer, colour: Colour, fields: Pairs) -> None:
    """To be fresh is not enough for an answer to Authorization (RFC 9111, 3.5)."""

    async def scenario() -> None:
        shop = Shop(colour, layer, Confidant(*fields), {"default_ttl": 60})
        await shop.ask("/", ALICE)
        for others in ((), (BOB,), (BOB, ("Cache-Control", "max-stale, stale-if-error=900"))):
            assert not has_leaked("alice", await shop.ask("/", *others))

    colour.run(scenario)


GUESSED: dict[str, Pairs] = {
    "Last-Modified": (CHANGED,),
    "nothing": (),
    "an ETag": (("ETag", '"1"'),),
    "an ETag and Last-Modified": (("ETag", '"1"'), CHANGED),
    "stale at once": (*says("max-age=0"), ("ETag", '"1"')),
    "expired": (("Expires", "0"), ("ETag", '"1"')),
    "to be asked for": (*says("no-cache"), ("ETag", '"1"')),
}


@pytest.mark.parametrize("fields", GUESSED.values(), ids=GUESSED.keys())
@pytest.mark.parametrize("cookie", ["", "session={}"], ids=["", "and sets one"])
def test_a_lifetime_is_not_guessed_where_a_cookie_points_to_a_user(
    layer: Layer, colour: Colour, fields: Pairs, cookie: str
) -> None:
    """Neither by Last-Modified nor by `default_ttl`; nor is it served stale to who asks for that, or on errors."""

    async def scenario() -> None:
        app = Confidant(*fields, cookie=cookie)
        options = {"default_ttl": 60, "stale_if_raises": "1h", "set_cookie": "store"}
        shop = Shop(colour, layer, app, options)
        await shop.ask("/", COOKIE_A)
        wishes = ["max-stale", "max-stale=99999", "max-stale, only-if-cached", "stale-if-error=99999"]
        for others in ((), (COOKIE_B,)):
            for wish in wishes:
                got = await shop.ask("/", *others, ("Cache-Control", wish))
                assert not has_leaked("alice", got), wish
            await shop.ask("/", COOKIE_A)
            app.status = 503
            assert not has_leaked("alice", await shop.ask("/", *others, ("Cache-Control", "stale-if-error=99999")))
            app.status, app.fails = 200, True
            with suppress(ZeroDivisionError):
                got = await shop.ask("/", *others, ("Cache-Control", "stale-if-error=99999"))
                assert not has_leaked("alice", got)
            app.fails = False

    colour.run(scenario)


COOKIES: list[tuple[str, Pairs, bool, bool]] = [
    # policy, the response, whether it is stored, whether its cookie is
    ("public", says("max-age=60"), False, False),
    ("public", says("public, max-age=60"), True, True),
    ("public", says("s-maxage=60"), True, True),
    ("public", (CHANGED,), False, False),
    ("public", (), False, False),
    ("store", says("max-age=60"), True, True),
    ("store", says("private, max-age=60"), False, False),
    ("store", (CHANGED,), False, False),
    ("store", (), False, False),
    ("strip", says("max-age=60"), True, False),
    ("strip", (CHANGED,), False, False),
    ("strip", (), False, False),
    ("refuse", says("public, max-age=60"), False, False),
    ("refuse", says("s-maxage=60"), False, False),
]


@pytest.mark.parametrize(("policy", "fields", "is_stored", "has_cookie"), COOKIES)
def test_set_cookie(
    layer: Layer, colour: Colour, policy: Any, fields: Pairs, is_stored: bool, has_cookie: bool
) -> None:
    """A cookie is given to others only where the policy and the app both say so, and never by a guess."""

    async def scenario() -> None:
        app = Confidant(*fields, cookie="session={}")
        shop = Shop(colour, layer, app, {"set_cookie": policy, "default_ttl": 60})
        first = await shop.ask()
        assert first.get("Set-Cookie") == "session=None"
        second = await shop.ask()
        assert second.is_hit is is_stored
        assert second.get("Set-Cookie") == ("session=None" if has_cookie or not is_stored else None)

    colour.run(scenario)


@pytest.mark.parametrize("policy", ["public", "store", "strip", "refuse"])
@pytest.mark.parametrize("said", ["max-age=0", "max-age=60"])
def test_a_cookie_in_a_304(layer: Layer, colour: Colour, policy: Any, said: str) -> None:
    """A session that is told with a 304 belongs to who asked, and is not stored with the response but under `store`."""

    async def scenario() -> None:
        async def respond(asked: Asked) -> Made:
            if asked.get("if-none-match"):
                return Made([*says(said), ("ETag", '"1"'), ("Set-Cookie", f"{asked.get('cookie')}")], status=304)
            return Made([*says("max-age=0"), ("ETag", '"1"')], [b"all"])

        shop = Shop(colour, layer, respond, {"set_cookie": policy})
        await shop.ask()
        await shop.ask("/", COOKIE_A)
        got = await shop.ask("/", ("Cookie", "session=bob"))
        assert got.body == b"all"
        if policy != "store" or said == "max-age=0":
            assert not has_leaked("alice", got)

    colour.run(scenario)


@pytest.mark.parametrize("fields", [says("private, max-age=60"), says("max-age=60"), says("no-store")])
def test_who_waits_gets_an_answer_of_their_own(layer: Layer, colour: Colour, fields: Pairs) -> None:
    """Requests that come while another is answered are not given that answer, if it is for one user."""

    async def scenario() -> None:
        gate = colour.gate()
        whole = Confidant(*fields, cookie="session={}")

        async def respond(asked: Asked) -> Made:
            if asked.get("cookie") == COOKIE_A[1]:
                await gate.passed()
            return await whole(asked)

        shop = Shop(colour, layer, respond)
        users = [("Cookie", f"session={name}") for name in ("alice", "bob", "carol", "dave")]
        got = await asking_all(shop, gate, users)
        for (_, own), each in zip(users, got, strict=True):
            assert own in each.body.decode()
            assert each.get("Set-Cookie") == f"session={own}"

    colour.run(scenario)


@pytest.mark.parametrize("trick", ["first without Vary", "another Vary", "Vary that goes"])
def test_vary_that_changes(layer: Layer, colour: Colour, trick: str) -> None:
    """What varies by the cookie once is not given to another user because of a response that does not."""

    async def scenario() -> None:
        varies = {"first without Vary": ["", "Cookie"], "another Vary": ["Accept", "Cookie"]}.get(
            trick, ["Cookie", "Cookie"]
        )

        async def respond(asked: Asked) -> Made:
            vary = varies.pop(0) if varies else "Cookie"
            return Made([*says("max-age=60"), *([("Vary", vary)] if vary else [])], [shown(asked)])

        shop = Shop(colour, layer, respond)
        await shop.ask("/", ("Accept", "a"))
        await shop.ask("/", COOKIE_A, ("Accept", "b"), ("Cache-Control", "no-cache"))
        assert not has_leaked("alice", await shop.ask("/", ("Accept", "b")))
        assert not has_leaked("alice", await shop.ask("/", COOKIE_B, ("Accept", "b")))
        assert not has_leaked("alice", await shop.ask("/", ("Cookie", "session=alic"), ("Accept", "b")))

    colour.run(scenario)


def test_cookies_in_the_key(layer: Layer, colour: Colour) -> None:
    """With `cookies=` the values choose the response, however a client writes the field to look like another."""

    async def scenario() -> None:
        shop = Shop(colour, layer, Confidant(*says("max-age=60")), {"cookies": ["session"]})
        own = await shop.ask("/", COOKIE_A)
        for written in (
            "session=bob",
            "session=alice2",
            "session=",
            "Session=alice",
            "session=bob; session=alice",
            "session=alice; session=bob",
            "other=session=alice",
            'session="alice"',
            "other=1, session=alice",
        ):
            assert (await shop.ask("/", ("Cookie", written))).body != own.body, written
        assert (await shop.ask("/")).body != own.body
        assert (await shop.ask("/", ("Cookie", "other=1; session=alice"))).body == own.body

    colour.run(scenario)

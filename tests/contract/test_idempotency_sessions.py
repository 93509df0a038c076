"""Requests that are done once inside of sessions: a session stands for its user, whatever its cookie is."""

from __future__ import annotations

from typing import Any

import holdfast.asgi
import holdfast.wsgi
from holdfast import Layer
from support.colours import Colour
from support.once_web import Site
from support.topologies import Topology


def test_the_cookie_of_a_session_may_change(colour: Colour, topology: Topology, namespace: str) -> None:
    """A repetition with the new secret of a session, or from another session of the user, gets the first answer."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            site, sessions = Site(colour, layer), colour.of(layer.sessions)
            kind: Any = holdfast.asgi if colour.is_async else holdfast.wsgi
            site.middleware = kind.SessionMiddleware(site.middleware, layer=layer)

            async def ask(cookie: str) -> bytes:
                return (await site.ask('"k"', b"x", ("Cookie", f"session={cookie}"))).body

            session, first = await sessions.create({"cart": 1})
            assert await ask(first) == b"run 1"
            session.rotate()
            second = await sessions.save(session)
            assert second not in (None, first)
            assert await ask(second) == b"run 1"
            _, other = await sessions.create({"cart": 2})
            assert await ask(other) == b"run 2"
            _, ada = await sessions.create({}, user="ada")
            _, ada_elsewhere = await sessions.create({}, user="ada")
            _, bob = await sessions.create({}, user="bob")
            assert [await ask(each) for each in (ada, ada_elsewhere, bob)] == [b"run 3", b"run 3", b"run 4"]

    colour.run(scenario)

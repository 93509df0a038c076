"""Which rights a user of Redis needs for sessions: those that the page about connecting names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast import Layer
from support.programs import Program
from support.rights import rights
from support.standalone import Standalone


@pytest.fixture
def url(program: Program) -> Iterator[str]:
    """Run a server with a user who may do what the page says."""
    with Standalone(program) as server:
        server.ask("ACL", "SETUSER", "app", "reset", *rights("+hgetall"))
        yield f"redis://app:secret@{server.host}:{server.port}/0"


def test_the_rights_of_the_page_suffice(url: str) -> None:
    """A session is begun, read, changed, given a new secret, logged in, listed, revoked and ended."""
    with Layer(url, namespace="shop") as layer:
        session, cookie = layer.sessions.create({"a": 1})
        session["b"] = 2
        del session["a"]
        session.log_in("42")
        assert layer.sessions.save(session) not in (None, cookie)
        assert [each.handle for each in layer.sessions.list("42")] == [session.handle]
        assert layer.sessions.revoke_all("42") == 1
        session, _ = layer.sessions.create()
        assert layer.sessions.revoke(session.handle)

"""Which rights a user of Redis needs for sessions: those that the page about connecting names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from holdfast import Layer
from support.programs import Program
from support.standalone import Standalone

PAGE: Final = Path(__file__).parents[2] / "docs" / "guides" / "connecting.md"


def rights() -> list[str]:
    """Return the rights of the page: the first block, and the one for sessions."""
    blocks = re.findall(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    first = next(block for block in blocks if "ACL SETUSER" in block)
    sessions = next(block for block in blocks if "+hgetall" in block)
    return [*first.split()[3:], *sessions.split()]


@pytest.fixture
def url(program: Program) -> Iterator[str]:
    """Run a server with a user who may do what the page says."""
    with Standalone(program) as server:
        server.ask("ACL", "SETUSER", "app", "reset", *rights())
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

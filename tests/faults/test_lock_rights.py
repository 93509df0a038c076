"""Which rights a user of Redis needs for locks: those that the page about connecting names, and no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast import Layer, LockNotAcquired
from support.lock_kinds import KINDS, Make
from support.programs import Program
from support.rights import rights
from support.standalone import Standalone


@pytest.fixture
def url(program: Program) -> Iterator[str]:
    """Run a server with a user who may do what the page says."""
    with Standalone(program) as server:
        server.ask("ACL", "SETUSER", "app", "reset", *rights("lock-news"))
        yield f"redis://app:secret@{server.host}:{server.port}/0"


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_the_rights_of_the_page_suffice(url: str, make: Make) -> None:
    """Each kind of lock is taken, waited for, extended, looked at and given back."""
    with Layer(url, namespace="shop") as layer:
        with make(layer, wait=1) as held:
            held.extend("1m")
        waiting = make(layer, wait=0.05)
        blocker = layer.read_write_lock("k").write() if make is KINDS["reader"] else make(layer)
        held_by_others = blocker.acquire()
        with pytest.raises(LockNotAcquired, match="held by others"):
            waiting.acquire()
        held_by_others.release()
        assert not layer.lock("k").locked()

"""Promises about finding a primary: who is asked, what the answers mean, and that it is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from hiredis import ReplyError

from holdfast._calls import drive
from holdfast.backend.failures import WireBroken
from holdfast.backend.link import Colour
from holdfast.backend.sentinel import Primary
from holdfast.backend.topology import Address, Topology
from holdfast.backend.url import parse
from holdfast.commands import Command, Reply
from holdfast.errors import BackendError

URL = "redis+sentinel://user:theirs@a:1,b:2,c:3/shop/4?sentinel_password=ours&client_name=me"
DEAD = WireBroken("refused", sent=False)
HERE = [b"10.0.0.1", b"6379"]


class FakeColour:
    """Answers for each sentinel as the test has planned."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.topology: Topology | None = None

    async def ask_once(self, topology: Topology, address: Address, command: Command) -> Reply:
        assert command.words == ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "shop")
        self.asked.append(address[0])
        self.topology = topology
        answer = self.answers[address[0]]
        if isinstance(answer, WireBroken | BackendError):
            raise answer
        return answer


def make(**answers: object) -> tuple[Primary, FakeColour]:
    colour = FakeColour(**answers)
    return Primary(parse(URL), cast("Colour", colour)), colour


def find(primary: Primary) -> Address:
    return drive(_driven(primary.find))


async def _driven(step: Callable[..., Any], *arguments: object) -> Any:
    return await step(*arguments)


def test_the_one_that_answered_is_asked_first() -> None:
    """Dead sentinels are passed over, and the next connection begins with the one that answered."""
    primary, colour = make(a=DEAD, b=HERE, c=HERE)
    assert find(primary) == ("10.0.0.1", 6379)
    assert find(primary) == ("10.0.0.1", 6379)
    assert colour.asked == ["a", "b", "b"]


def test_sentinels_have_credentials_of_their_own() -> None:
    """The primary's user, password and database are not shown to the sentinels; their own password is."""
    primary, colour = make(a=HERE)
    find(primary)
    assert colour.topology is not None
    assert colour.topology.kind == "single"
    assert dict(colour.topology.connection) == {
        "password": "ours",
        "client_name": "me",
        "socket_timeout": 1.0,
        "socket_connect_timeout": 1.0,
        "protocol": 2,
    }


def test_nobody_answers() -> None:
    """With all sentinels dead there is no connection, which counts against the server."""
    primary, _ = make(a=DEAD, b=DEAD, c=DEAD)
    with pytest.raises(WireBroken, match="no sentinel answered"):
        find(primary)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "do not know 'shop'"),
        (ReplyError("NOAUTH Authentication required."), "refused to answer"),
        (BackendError("wrong password"), "wrong password"),
    ],
)
def test_a_clear_answer_is_told(answer: object, says: str) -> None:
    """An unknown service or a refusal is told as it is, after all were asked; one that knows is enough."""
    primary, colour = make(a=answer, b=DEAD, c=answer)
    with pytest.raises(BackendError, match=says):
        find(primary)
    assert colour.asked == ["a", "b", "c"]
    primary, _ = make(a=answer, b=DEAD, c=HERE)
    assert find(primary) == ("10.0.0.1", 6379)


@pytest.mark.parametrize(
    ("role", "good"),
    [
        ([b"master", 0, []], True),
        ([b"slave", b"10.0.0.2", 6379, b"connected", 0], False),
        (ReplyError("NOPERM this user has no permissions to run the 'role' command"), True),
    ],
)
def test_only_a_primary_will_do(role: Reply, good: bool) -> None:
    """A server that says that it is a replica is left, since sentinels may lag behind."""
    primary, _ = make()

    async def ask(command: Command) -> Reply:
        assert command.words == ("ROLE",)
        return role

    if good:
        drive(_driven(primary.verify, ask))
    else:
        with pytest.raises(WireBroken, match="it is a replica"):
            drive(_driven(primary.verify, ask))

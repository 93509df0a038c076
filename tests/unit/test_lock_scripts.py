"""Promises of the lock's script files: each explains itself, runs on every server, and asks it no more than it must."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from holdfast.commands import Command
from holdfast.policy.names import Names
from holdfast.scripts import locks as scripts
from support.lock_models import HOUR, LockServer

FOLDER = files("holdfast.scripts").joinpath("locks")
TEXTS = {file.name.removesuffix(".lua"): file.read_text(encoding="utf-8") for file in FOLDER.iterdir()}
PARTS = {"clock", "fence", "queue", "share"}
"""Files that others begin with: no scripts by themselves."""
PLACES = Names("shop").lock("lock", "a")
EVERY: dict[str, Command] = {
    "take": scripts.take(PLACES, "m", 30),
    "keep": scripts.keep(PLACES, "m", 30),
    "leave": scripts.leave(PLACES, "m"),
    "take_fair": scripts.take_fair(PLACES, "m", 30, True, 8),
    "leave_fair": scripts.leave_fair(PLACES, "m"),
    "take_share": scripts.take_share(PLACES, "r:m", 30, 2, False, True, 8),
    "keep_share": scripts.keep_share(PLACES, "r:m", 30),
    "leave_share": scripts.leave_share(PLACES, "r:m"),
    "fix_fence": scripts.fix_fence(PLACES, "m", 7),
}


def test_every_file_is_called() -> None:
    """Each file is a script that some function calls, or the beginning of others."""
    assert TEXTS.keys() == EVERY.keys() | PARTS
    assert all(command.script == name for name, command in EVERY.items())


@pytest.mark.parametrize("name", sorted(EVERY))
def test_a_header_says_what_a_caller_must_know(name: str) -> None:
    """A file opens with its keys, arguments and reply, what it costs, and whether it may be executed twice."""
    header, command = TEXTS[name].partition("\n\n")[0], EVERY[name]
    assert all(line.startswith("--") for line in header.splitlines())
    for part in (r"^-- KEYS   1 ", r"^-- ARGV   1 ", r"^-- Reply  ", r"^-- O\("):
        assert re.search(part, header, re.MULTILINE), part
    assert command.repeatable == (re.search(r"Not repeatable", header) is None)
    assert re.search(r"([Nn]ot r|R)epeatable", header)
    keys, words = header.partition("-- Reply")[0].split("-- ARGV")
    assert len(re.findall(r"\b\d \w+[:,]", keys)) == len(command.keys)
    assert len(re.findall(r"^(?:--)? +\d ", words, re.MULTILINE)) == len(command.words) - 3 - len(command.keys)


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_the_code_runs_on_every_server(name: str) -> None:
    """No library that an embedded server lacks, no key made up in the script, no clock but TIME, no global name."""
    code = "\n".join(line for line in TEXTS[name].splitlines() if not line.startswith("--"))
    assert not re.search(r"cmsgpack|cjson|sha1hex|bit\.|os\.|'(KEYS|SCAN|FLUSHALL|FLUSHDB)'", code)
    for command, first in re.findall(r"redis\.call\('(\w+)'(, KEYS\[\d\]|, ARGV\[\d\]|, key\b)?", code):
        assert first[:6] in {"TIME": {""}, "PUBLISH": {", ARGV"}}.get(command, {", KEYS", ", key"}), command
    assigned = set(re.findall(r"^\s*(\w+)(?:, \w+)* = ", code, re.MULTILINE))
    assert assigned <= set(re.findall(r"\w+", " ".join(re.findall(r"local ([\w, ]+) = ", code))))


@pytest.mark.parametrize("command", EVERY.values(), ids=EVERY)
def test_all_keys_share_a_slot(command: Command) -> None:
    """The keys go as keys, and have the same hash tag; the channel is no key."""
    assert all("{a}" in key for key in command.keys)
    assert PLACES.news not in command.keys
    assert command.words[3 : 3 + len(command.keys)] == command.keys


def test_a_lock_that_is_free_costs_five_commands() -> None:
    """To take a lock is to look, to mint a fencing token and to store both; to give it back is three."""
    server = LockServer()
    server.call(scripts.take(server.places, "m", 30))
    assert server.redis.calls == ["GET", "TIME", "GET", "SET", "SET"]
    server.call(scripts.take(server.places, "other", 30))
    assert server.redis.calls == ["GET", "PTTL"]
    server.call(scripts.leave(server.places, "m"))
    assert server.redis.calls == ["GET", "DEL", "PUBLISH"]


def test_the_fencing_token_lives_an_hour_longer() -> None:
    """The last fencing token is stored for an hour after a lock was taken, also if that was given back."""
    server = LockServer()
    server.call(scripts.take(server.places, "m", 30))
    server.call(scripts.leave(server.places, "m"))
    assert server.redis.ttls() == {server.places.fence: HOUR}


@pytest.mark.parametrize("name", ["take", "take_fair"])
def test_what_another_program_stored_is_waited_for_in_turns(name: str) -> None:
    """A key without expiry is looked at again after a second: no lease ends, and no one will tell."""
    server = LockServer()
    server.redis.execute(Command(("SET", server.places.held, "theirs")))
    more = () if name == "take" else (True, 8.0)
    reply = server.redis.execute(getattr(scripts, name)(server.places, "m", 30, *more))
    assert reply[:2] == [0, 1000]
    assert server.redis.content()[server.places.held] == b"theirs"

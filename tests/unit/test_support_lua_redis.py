"""Promises of the tiny Redis: it answers our scripts as real servers do, and lives by the test's clock."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import commands
from holdfast.backend.backend import Backend
from holdfast.backend.embedded import open_client
from holdfast.commands import Command
from holdfast.scripts import cache as scripts
from holdfast.scripts import load
from support.entry import frame, parsed
from support.lua_redis import LuaRedis
from support.topologies import SERVED, Servers

STANDALONE = ["memory", *(name for name in SERVED if name.startswith("redis"))]
KEYS = ("value", "lease", "tag", "result")
MINTED = re.compile(rb"([0-9a-f]{16})\d{16}")
SHORT, LONG = 100.0, 1000.0

Call = Callable[[Command], Any]
Step = tuple[str, tuple[Any, ...]]
seconds = st.sampled_from([SHORT, LONG])
which = st.integers(-1, 3)
"""Which of the tokens seen so far, counted from the last one; -1 is one that nobody was given."""
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(
        st.just("acquire"),
        st.tuples(st.sampled_from(["value", "result", None]), seconds, which, st.sampled_from(["", "*", "nonce"])),
    ),
    st.tuples(st.just("fill"), st.tuples(st.sampled_from(["value", "result"]), which, seconds)),
    st.tuples(st.just("renew"), st.tuples(which, seconds)),
    st.tuples(st.just("abandon"), st.tuples(which, st.booleans(), st.booleans())),
    st.tuples(st.just("invalidate"), st.just(())),
    st.tuples(st.just("put"), st.tuples(which, seconds)),
    st.tuples(st.just("expire"), st.tuples(seconds)),
    # It prolongs to twice what it is told: other times, lest a clock that goes on decide between the same ones.
    st.tuples(st.just("tag_versions"), st.tuples(st.sampled_from([0.7 * SHORT, 0.7 * LONG]))),
    st.tuples(st.just("tag_invalidate"), st.tuples(seconds, st.booleans(), st.booleans())),
    st.tuples(st.just("lose"), st.tuples(st.sampled_from(KEYS))),
    st.tuples(st.just("again"), st.just(())),
)


class Story:
    """The same steps for any server: the tokens that they speak of are those that this server has minted."""

    def __init__(self, call: Call, namespace: str) -> None:
        self._call = call
        self._at = {key: f"{namespace}:{key}" for key in KEYS}
        self._channel = f"{namespace}:news"
        self._tokens: list[str] = []
        self._sent = 0
        self._last: Command | None = None

    def tell(self, story: list[Step]) -> list[Any]:
        """Execute all steps; return replies and times to live, with what depends on the instant left out."""
        return [self._plain(self._do(*step)) for step in story]

    def _do(self, name: str, arguments: tuple[Any, ...]) -> list[Any]:
        if name == "lose":
            reply = self._call(commands.unlink([self._at[arguments[0]]]))
        else:
            command = self._last if name == "again" else getattr(self, f"_{name}")(*arguments)
            self._last = command
            reply = None if command is None else self._call(command)
        if isinstance(reply, list) and reply[0] == 1 and command and command.words[1] == load("acquire").digest:
            self._tokens.append(reply[1].decode())
        keys = list(self._at.values())
        return [reply, self._call(commands.mget(keys)), *(self._call(commands.pttl(key)) for key in keys)]

    def _plain(self, reply: Any) -> Any:
        if isinstance(reply, list):
            return [self._plain(each) for each in reply]
        if isinstance(reply, bytes):
            return MINTED.sub(rb"\1", reply)
        return round(reply / 1e5) if isinstance(reply, int) and reply > 1 else reply

    def _nonce(self) -> str:
        self._sent += 1
        return f"{self._sent:016x}"

    def _token(self, back: int) -> str:
        return self._tokens[-1 - back] if 0 <= back < len(self._tokens) else "x" * 32

    def _acquire(self, left: str | None, lease: float, seen: int, replace: str) -> Command:
        return scripts.acquire(
            self._at["lease"],
            left and self._at[left],
            nonce=self._nonce(),
            seconds=lease,
            seen=self._token(seen).encode(),
            replace=self._token(seen)[:16] if replace == "nonce" else replace,
        )

    def _fill(self, left: str, token: int, ttl: float) -> Command:
        text = self._token(token)
        return scripts.fill(
            self._at[left], self._at["lease"], token=text, frame=frame(text), seconds=ttl, channel=self._channel
        )

    def _renew(self, token: int, lease: float) -> Command:
        return scripts.renew(self._at["lease"], token=self._token(token), seconds=lease)

    def _abandon(self, token: int, by_nonce: bool, throttle: bool) -> Command:
        text = self._token(token)
        return scripts.abandon(
            self._at["value"],
            self._at["lease"],
            token=text[:16] if by_nonce else text,
            channel=self._channel,
            retry_at=b"retry at" if throttle else b"",
        )

    def _invalidate(self) -> Command:
        return scripts.invalidate(self._at["value"], self._at["lease"], channel=self._channel)

    def _put(self, token: int, ttl: float) -> Command:
        text = self._token(token)
        return scripts.put_value(
            self._at["value"], self._at["lease"], frame=frame(text, b"put"), seconds=ttl, channel=self._channel
        )

    def _expire(self, ttl: float) -> Command:
        return scripts.expire_value(self._at["value"], seconds=ttl, fresh_until=b"until...", channel=self._channel)

    def _tag_versions(self, ttl: float) -> Command:
        return scripts.tag_versions(self._at["tag"], nonce=self._nonce(), seconds=ttl)

    def _tag_invalidate(self, ttl: float, soft: bool, told: bool) -> Command:
        channel = self._channel if told else ""
        return scripts.tag_invalidate(self._at["tag"], nonce=self._nonce(), seconds=ttl, soft=soft, channel=channel)


@pytest.mark.parametrize("name", STANDALONE)
def test_it_answers_as_real_servers_do(name: str, servers: Servers) -> None:
    """Any sequence of our scripts has the same replies, keys, times to live and messages as on a real server."""
    topology = servers.topology(name)
    backend = Backend(topology.url, lambda event: None)
    client = open_client(topology.url.partition("//")[2]) if topology.is_memory else topology.nodes[0].client

    @settings(max_examples=150, deadline=None)
    @given(st.lists(steps, max_size=30))
    def check(story: list[Step]) -> None:
        namespace = f"test-{uuid4().hex}"
        mine = LuaRedis(lambda: 1_700_000_000.0)
        with client.pubsub() as news:
            news.subscribe(f"{namespace}:news")
            assert news.get_message(timeout=10)
            told = Story(mine.execute, namespace)
            real = Story(backend.blocking.call_now, namespace)
            assert told.tell(story) == real.tell(story)
            messages = [news.get_message(timeout=10) for _ in mine.published]
            heard = [MINTED.sub(rb"\1", message["data"]) for message in messages if message]
            assert heard == [MINTED.sub(rb"\1", message) for _, message in mine.published]
            assert news.get_message() is None
            assert {channel for channel, _ in mine.published} <= {f"{namespace}:news"}
        backend.blocking.call_now(commands.unlink([f"{namespace}:{key}" for key in KEYS]))

    try:
        check()
    finally:
        backend.close()


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def test_keys_live_by_the_clock() -> None:
    """A key lives for its time and not a millisecond more, and can be lost before; `ttls` tells what each has left."""
    clock = Clock()
    server = LuaRedis(clock)
    server.execute(commands.put("a", b"1", 10))
    server.execute(commands.put("b", b"2", 0.5))
    server.execute(commands.put("c", b"3", 10))
    server.execute(Command(("SET", "d", b"4")))
    assert server.ttls() == {"a": 10_000, "b": 500, "c": 10_000, "d": -1}
    clock.now += 0.5
    assert server.execute(commands.pexpire("c", 1)) == 1
    assert server.execute(commands.get("b")) == b"2"
    clock.now += 0.002
    server.expire_now("a")
    assert server.execute(commands.mget(["a", "b", "c", "d"])) == [None, None, b"3", b"4"]
    assert server.execute(commands.pttl("c")) == 998
    assert server.execute(commands.pexpire("b", 1)) == 0
    assert server.execute(commands.unlink(["a", "c"])) == 1
    assert server.ttls() == {"d": -1}


def test_a_lease_runs_out_by_the_clock() -> None:
    """Scripts see the clock too: a lease holds until its time is over."""
    clock = Clock()
    server = LuaRedis(clock)
    command = scripts.acquire("lease", "value", nonce="n" * 16, seconds=30)
    assert server.execute(command)[0] == 1
    clock.now += 29.9
    assert server.execute(command)[0] == 2
    clock.now += 0.2
    assert server.execute(command)[0] == 1


def test_time_never_repeats() -> None:
    """The same bytes mint two tokens though the clock stands still, and even if it goes back."""
    clock = Clock()
    server = LuaRedis(clock)
    command = scripts.tag_invalidate("tag", nonce="n" * 16, seconds=1, soft=False, channel="")
    minted = []
    for _ in range(3):
        minted.append(server.execute(command))
        clock.now -= 1
    assert sorted(set(minted)) == minted


def test_a_script_may_be_replaced() -> None:
    """Another text takes the place of one script, on one server only; a name that is none is refused."""
    fill = scripts.fill("value", "lease", token="t" * 32, frame=frame("t" * 32), seconds=5, channel="news")
    wrong = LuaRedis(Clock(), texts={"fill": "redis.call('SET', KEYS[1], ARGV[2]) return 1"})
    assert wrong.execute(fill) == 1
    assert parsed(wrong.execute(commands.get("value"))).id == "t" * 32
    assert wrong.ttls() == {"value": -1}
    assert LuaRedis(Clock()).execute(fill) == 0
    with pytest.raises(ValueError, match="no script called fil"):
        LuaRedis(Clock(), texts={"fil": ""})


def test_messages_are_kept_and_told() -> None:
    """What is published is in `published`, and goes to the listener while the script runs."""
    heard: list[tuple[str, bytes]] = []
    server = LuaRedis(Clock(), heard=lambda channel, message: heard.append((channel, message)))
    server.execute(scripts.invalidate("value", "lease", channel="news"))
    server.execute(Command(("PUBLISH", "other", "text")))
    assert heard == server.published == [("news", b"gone"), ("other", b"text")]


def test_what_planted_bugs_need() -> None:
    """Scripts that are wrong on purpose may also count, set only what is missing, delete, and forget an expiry."""
    text = "redis.call('INCR', KEYS[1]) redis.call('DEL', KEYS[2]) return redis.call('SET', KEYS[1], 'x', 'NX')"
    server = LuaRedis(Clock(), texts={"invalidate": text})
    server.execute(commands.put("lease", b"1", 5))
    assert server.execute(scripts.invalidate("value", "lease", channel="")) is None
    assert server.execute(commands.mget(["value", "lease"])) == [b"1", None]
    text = "redis.call('SET', KEYS[1], 'x') return redis.call('SETRANGE', KEYS[2], 3, 'y')"
    server = LuaRedis(Clock(), texts={"invalidate": text})
    server.execute(commands.put("value", b"1", 5))
    assert server.execute(scripts.invalidate("value", "lease", channel="")) == 4
    assert server.execute(commands.mget(["value", "lease"])) == [b"x", b"\0\0\0y"]
    assert server.ttls() == {"value": -1, "lease": -1}


def test_a_server_that_nobody_has_is_gone() -> None:
    """Lua keeps nothing of those that its scripts have run for; models make thousands."""
    server = LuaRedis(Clock())
    server.execute(scripts.invalidate("value", "lease", channel="news"))
    known = weakref.ref(server)
    del server
    gc.collect()
    assert known() is None


words = st.sampled_from(["a", "b", "7", "1700000000123456"])
places = st.integers(-4, 4)
collections: st.SearchStrategy[tuple[str | int, ...]] = st.one_of(
    st.tuples(st.just("LRANGE"), st.just("list"), places, places),
    st.tuples(st.just("LTRIM"), st.just("list"), places, places),
    st.tuples(st.just("LINDEX"), st.just("list"), places),
    st.tuples(st.just("LLEN"), st.just("list")),
    st.tuples(st.just("LPUSH"), st.just("list"), words, words),
    st.tuples(st.just("RPUSH"), st.just("list"), words),
    st.tuples(st.just("ZADD"), st.just("set"), st.integers(-2, 10**13), words),
    st.tuples(st.just("ZCARD"), st.just("set")),
    st.tuples(st.just("ZRANGE"), st.just("set"), places, places),
    st.tuples(st.just("ZRANGE"), st.just("set"), places, places, st.just("WITHSCORES")),
    st.tuples(st.just("ZREM"), st.just("set"), words),
    st.tuples(st.just("ZREMRANGEBYSCORE"), st.just("set"), st.just("-inf"), st.integers(0, 10**13)),
    st.tuples(st.just("EXISTS"), st.sampled_from(["list", "set"])),
)


@pytest.mark.parametrize("name", [name for name in STANDALONE if name != "memory"])
def test_lists_and_sorted_sets_are_as_on_real_servers(name: str, servers: Servers) -> None:
    """Any sequence of the commands that scripts use has the same replies."""
    client = servers.topology(name).nodes[0].client

    @settings(max_examples=100, deadline=None)
    @given(st.lists(collections, max_size=30))
    def check(story: list[tuple[str | int, ...]]) -> None:
        mine, namespace = LuaRedis(lambda: 1_700_000_000.0), f"test-{uuid4().hex}:"
        for verb, key, *rest in story:
            told = mine.execute(Command((str(verb), f"{namespace}{key}", *rest)))
            with client.pipeline(transaction=False) as pipe:
                pipe.execute_command(f"{verb} ".strip(), f"{namespace}{key}", *rest, NEVER_DECODE=True)
                real = pipe.execute()[0]
            assert _raw(told) == _raw(real), (verb, rest)
        client.unlink(f"{namespace}list", f"{namespace}set")

    check()


def _raw(reply: Any) -> Any:
    """Return a reply without what redis-py makes of it: scores as floats, in pairs, and OK as True."""
    if isinstance(reply, list | tuple):
        flat: list[Any] = []
        for each in reply:
            flat += _raw(each) if isinstance(each, list | tuple) else [_raw(each)]
        return flat
    if isinstance(reply, bool) or reply in (b"OK", "OK"):
        return "OK"
    if isinstance(reply, str | bytes):
        text = reply.decode() if isinstance(reply, bytes) else reply
        return float(text) if text.lstrip("-").isdigit() else text
    return None if reply is None else float(reply)

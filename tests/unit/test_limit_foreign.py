"""Keys of limits that hold what no limiter has written: an error or a fresh start, and always an end."""

from __future__ import annotations

from contextlib import suppress
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import commands
from holdfast.commands import Command
from holdfast.policy.quota import ALGORITHMS, Algorithm, Quota
from support.limit_server import BEGIN, LimitServer
from support.limit_traffic import promise
from support.lua_collections import WrongType

KEY = "bucket"
TEXTS = [name for name in ALGORITHMS if name != "sliding_log"]
NUMBERS = ["0", "7", str(BEGIN), "9" * 16, "9" * 60, "9" * 400]
words = st.one_of(
    st.sampled_from(
        ["", "0", "1", "-1", "x", "1e3", "nan", "inf", "0x10", "1.5", "9" * 15, "9" * 17, "9" * 60, "9" * 400]
    ),
    st.integers(0, 10**17).map(str),
)


@pytest.mark.parametrize("algorithm", TEXTS)
def test_text_that_is_no_state_is_a_fresh_start(algorithm: Algorithm) -> None:
    """It counts as nothing, and the first hit that is admitted replaces it."""
    quota = Quota(3, 60, algorithm=algorithm)
    for text in (b"", b"garbage", b"\0\xff", b"1 2", b"1 2 3 4 5", b"-1 -2 -3", b"1.5 2 3", b'{"at": 1}', b"a b c d"):
        server = LimitServer()
        server.call(commands.put(KEY, text, 3600))
        assert server.peek({KEY: quota}).said == LimitServer().peek({KEY: quota}).said
        assert [server.hit({KEY: quota}).admitted for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_of_another_type_is_an_error(algorithm: Algorithm) -> None:
    """Nothing is charged, and what is there stays as it is."""
    server = LimitServer()
    if algorithm == "sliding_log":
        server.call(commands.put(KEY, b"text", 60))
    else:
        server.redis.execute(Command(("RPUSH", KEY, b"text")))
        server.call(commands.pexpire(KEY, 60))
    before = server.content()
    for ask in (server.hit, server.peek, lambda buckets: server.adjust(buckets, -1)):
        with pytest.raises(WrongType):
            ask({KEY: Quota(3, 60, algorithm=algorithm)})
    assert server.content() == before


@pytest.mark.parametrize("algorithm", TEXTS)
def test_numbers_that_nobody_wrote_end_in_a_decision(algorithm: Algorithm) -> None:
    """Whatever numbers stand there: every answer is whole and below 2**53, and a second look says the same."""
    buckets = {KEY: Quota(3, 60, algorithm=algorithm)}
    for fields in product(NUMBERS, repeat=4 if algorithm == "sliding_counter" else 3):
        server = LimitServer(changes=True)
        server.call(commands.put(KEY, " ".join(fields).encode(), 3600))
        assert server.peek(buckets) == server.peek(buckets)
        server.hit(buckets)
        server.adjust(buckets, -1)
        server.adjust(buckets, 1)


def test_a_list_that_nobody_wrote_ends() -> None:
    """The log reads a list once, however it is filled: it answers or fails, and does not go on for ever."""

    @promise(2)
    @given(st.lists(words, max_size=300), st.integers(1, 5))
    def check(items: list[str], limit: int) -> None:
        server = LimitServer(changes=True)
        if items:
            server.redis.execute(Command(("RPUSH", KEY, *items)))
            server.call(commands.pexpire(KEY, 3600))
        calls = 0

        def counted(*arguments: object) -> object:
            nonlocal calls
            calls += 1
            if calls > 10_000:
                raise RuntimeError
            return call(*arguments)  # type: ignore[arg-type]

        call = server.redis._call
        server.redis._call = counted  # type: ignore[method-assign,assignment]
        buckets = {KEY: Quota(limit, 60, algorithm="sliding_log")}
        for ask in (server.hit, server.peek, lambda buckets: server.adjust(buckets, -1)):
            calls = 0
            with suppress(Exception):  # Redis answers with an error, whichever
                ask(buckets)
            assert calls < 5 * len(items) + 50

    check()

"""The scripts of what is done once, against a model that says of every step what it answers and leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from holdfast import Layer
from holdfast.commands import Command
from holdfast.scripts import idempotency as scripts
from support.limit_traffic import promise

KEY = "idempotency:{model}"
Step: TypeAlias = tuple[str, str]
"""A verb, and the token that it is for."""
PRINTS = {"a": "1", "b": "1", "c": "2"}
"""The fingerprint that each token comes with."""
steps: st.SearchStrategy[Step] = st.tuples(
    st.sampled_from(["begin", "begin", "begin", "keep", "finish", "free", "lapse", "lose"]), st.sampled_from("abc")
)


@dataclass
class Model:
    """What is known of one thing."""

    token: str = ""
    runs_out: bool = False
    printed: str = ""
    result: str | None = None
    finishes: int = 0
    """How often somebody has said what came of it: each time something else."""

    def begin(self, token: str) -> list[Any]:
        """Return what the script answers, without how long and which number."""
        if self.result is not None:
            return [2, self.result.encode()] if PRINTS[token] == self.printed else [3]
        if self.token and self.token != token and not self.runs_out:
            return [0] if PRINTS[token] == self.printed else [3]
        self.token, self.printed, self.runs_out = token, PRINTS[token], False
        return [1]

    def keep(self, token: str) -> int:
        """Return what the script answers."""
        kept = self.token == token and self.result is None
        self.runs_out = self.runs_out and not kept
        return int(kept)

    def finish(self, token: str) -> int:
        """Return what the script answers."""
        self.finishes += 1
        if self.token not in {"", token}:
            return 0
        if self.result is None:
            self.token, self.printed, self.result = token, PRINTS[token], f"{self.finishes}"
        return 1

    def free(self, token: str) -> int:
        """Return what the script answers."""
        freed = self.token == token and self.result is None
        if freed:
            self.lose(token)
        return int(freed)

    def lapse(self, _: str) -> None:
        """Let the lease run out."""
        self.runs_out = bool(self.token)

    def lose(self, _: str) -> None:
        """Lose the record."""
        self.token, self.runs_out, self.printed, self.result = "", False, "", None


def _command(verb: str, token: str, number: int) -> Command:
    if verb == "begin":
        return scripts.begin(KEY, token=token, fingerprint=PRINTS[token], seconds=30)
    if verb == "keep":
        return scripts.keep(KEY, token=token, seconds=30)
    if verb == "free":
        return scripts.free(KEY, token=token, news="news")
    if verb == "finish":
        result = str(number).encode()
        return scripts.finish(KEY, token=token, fingerprint=PRINTS[token], result=result, seconds=60, news="news")
    return Command(("UNLINK", KEY) if verb == "lose" else ("HSET", KEY, "until", "1"), (KEY,))


@promise(4)
@given(story=st.lists(steps, max_size=25))
def test_the_scripts_do_what_the_model_does(story: list[Step]) -> None:
    """Whoever begins, keeps, finishes or frees, in any order, once or again; every record has an end."""
    with Layer() as layer:
        port, model, fences = layer.engine.blocking, Model(), dict[str, int]()
        port.call_now(Command(("UNLINK", KEY), (KEY,)))
        last = 0
        for verb, token in story:
            if verb == "lapse" and (not model.token or model.result is not None):
                continue
            before = model.token
            expected: Any = getattr(model, verb)(token)
            reply = port.call_now(_command(verb, token, model.finishes))
            if verb == "begin":
                if reply[0] == 1:
                    same = before == token and fences.get(token) == reply[1]
                    assert same or reply[1] > last
                    fences[token] = last = reply[1]
                elif reply[0] == 0:
                    assert 0 < reply[1] <= 30_000
                reply = reply if reply[0] == 2 else reply[:1]
            if expected is not None:
                assert reply == expected, (verb, token)
            if model.token:
                left = port.call_now(Command(("PTTL", KEY), (KEY,)))
                assert 0 < left <= (60_000 if model.result is not None else 3_630_000)
            else:
                assert not port.call_now(Command(("EXISTS", KEY), (KEY,)))

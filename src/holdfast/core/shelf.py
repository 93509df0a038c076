"""Values by name that can all be removed at once: what stands behind the cache API of Django.

The key of a value ends in the generation of its shelf, a random text under a key of its own. Every operation reads that
in the round trip in which it does its work under the generation that this process knows; if the two differ, it is done
again under the right one. Clearing the shelf is one SET of a new generation, however many values there are:

1. A generation never comes back, so what was done under an old one is never seen by anybody; it leaves with its TTL.
2. An operation counts as done at the instant at which the generation was read and was the one that it had used. So
   whoever begins after `clear` has returned finds nothing from before.
3. A generation outlives what is stored under it. If Redis drops it all the same, that is as if the shelf was cleared.

Whole numbers are kept as digits, which Redis can add to; all else in frames, signed where the layer has a secret.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from holdfast._missing import MISSING
from holdfast.codec import Codec
from holdfast.commands import Command, Reply, get, mget, pexpire, pttl, put, unlink
from holdfast.core.records import Recorder
from holdfast.core.sending import chunks
from holdfast.errors import BackendError
from holdfast.events import EntryUnreadable, Fill, Hit, Invalidated, Miss
from holdfast.policy.frame import Unreadable
from holdfast.policy.key_text import protect, shorten
from holdfast.policy.keys import entry_key
from holdfast.port import Port
from holdfast.scripts import django as scripts

T = TypeVar("T")

_FRAME: Final = b"\1"
"""What every frame begins with, and no number."""
_LARGEST: Final = 2**63 - 1
_REFRESHED: Final = 4
"""Each process gives the generation its whole life again after this part of it."""
_PATTERN: Final = "django"


class Found(NamedTuple):
    """What a look at one name found."""

    value: Any
    """MISSING where there is nothing that can be used."""
    unreadable: bytes | None = None
    """What is there, but cannot be used."""


class Shelf:
    """The values of one namespace, for both colours of callers.

    Args:
        namespace: what all keys begin with.
        codec: writes and reads the values.
        recorder: counts and tells.
        bypass: whether to go on without Redis where nothing has to be removed.
        longest: seconds for which a value is kept at most.
        checked: whether to refuse values that would not come back as they are.
    """

    def __init__(
        self, namespace: str, codec: Codec, recorder: Recorder, *, bypass: bool, longest: float, checked: bool
    ) -> None:
        self._namespace = namespace
        self._place = f"{namespace}:django-generation" if namespace else "django-generation"
        self._codec = codec
        self._recorder = recorder
        self._tally = recorder.tally(_PATTERN)
        self._bypass = bypass
        self._checked = checked
        self._life = 2 * longest
        self._known = ""
        """The generation as this process knows it; empty before it has asked."""
        self._due = 0.0
        """When, on the port's monotonic clock, the generation is to get its whole life again."""

    async def find(self, port: Port, name: str) -> Found:
        """Look at one name; see `find_many`."""
        return (await self.find_many(port, [name]))[name]

    async def find_many(self, port: Port, names: Iterable[str]) -> dict[str, Found]:
        """Look at several names, one MGET for up to 500.

        Raises:
            BackendError: Redis could not be used, and that is not to be bypassed.
        """
        found: dict[str, Found] = {}
        for chunk in chunks(list(dict.fromkeys(names))):
            read = await self._bypassing("MGET", self._read(port, chunk))
            for index, name in enumerate(chunk):
                if read is None:
                    found[name] = self._missed(self._key(name, ""), "unavailable")
                else:
                    found[name] = self._open(self._key(name, read[0]), read[1][index])
        return found

    async def has(self, port: Port, name: str) -> bool:
        """Say whether there is something under a name."""
        done = await self._bypassing("EXISTS", self._do(port, lambda given: [scripts.exists(self._key(name, given))]))
        return done is not None and bool(done[1][0])

    async def put_many(self, port: Port, values: Mapping[str, object], ttl: float) -> list[str]:
        """Store values for `ttl` seconds, in one pipeline for up to 500; return the names of those that may be missing.

        Raises:
            BackendError: Redis could not be used, and that is not to be bypassed.
            SerializationError: a value cannot be stored, and none of its pipeline was.
        """
        failed: list[str] = []
        for chunk in chunks(list(values)):
            raws: dict[str, bytes] = {}

            def build(given: str, names: Iterable[str] = chunk, raws: dict[str, bytes] = raws) -> list[Command]:
                for name in names:
                    raws[name] = self._encode(self._key(name, given), values[name])
                return [put(self._key(name, given), raw, ttl) for name, raw in raws.items()]

            done = await self._bypassing("SET", self._do(port, build))
            if done is None:
                failed += chunk
            else:
                self._stored({self._key(name, done[0]): raw for name, raw in raws.items()}, ttl)
        return failed

    async def add(self, port: Port, name: str, value: object, ttl: float, instead_of: bytes | None = None) -> bool:
        """Store a value where there is none, and say whether it was stored.

        Args:
            port: of the caller's colour.
            name: of the value.
            value: what to store.
            ttl: for how many seconds.
            instead_of: store it where there is still this, which could not be used.
        """

        def build(given: str) -> list[Command]:
            key = self._key(name, given)
            raw = self._encode(key, value)
            if instead_of is None:
                return [scripts.add(key, raw, ttl)]
            return [scripts.swap(key, was=instead_of, new=raw, seconds=ttl)]

        done = await self._bypassing("SET", self._do(port, build))
        added = done is not None and bool(done[1][0])
        self._tally.fills += added
        return added

    async def touch(self, port: Port, name: str, ttl: float) -> bool:
        """Keep a value for `ttl` seconds from now; say whether there is one."""
        done = await self._bypassing("PEXPIRE", self._do(port, lambda given: [pexpire(self._key(name, given), ttl)]))
        return done is not None and bool(done[1][0])

    async def remove(self, port: Port, names: Iterable[str]) -> int:
        """Remove values; return how many there were.

        Raises:
            BackendError: Redis could not be used, whether or not that is bypassed: they may still be there.
        """
        removed = 0
        for chunk in chunks(list(dict.fromkeys(names))):

            def build(given: str, names: Iterable[str] = chunk) -> list[Command]:
                return [unlink([self._key(name, given) for name in names])]

            generation, replies = await self._recorded("UNLINK", self._do(port, build))
            removed += int(replies[0])
            if self._recorder.hooks:
                for name in chunk:
                    self._recorder.emit(Invalidated(_PATTERN, self._key(name, generation)))
        return removed

    async def incr(self, port: Port, name: str, delta: Any) -> Any:
        """Add to a number, which keeps the time that it has left; return the sum, or MISSING.

        Redis adds whole numbers of 64 bits. Whatever else can be added is read, added to, and stored if nobody has
        changed it meanwhile; else all that again.

        Raises:
            BackendError: Redis could not be used, and that is not to be bypassed.
            TypeError: `delta` cannot be added to what is there.
        """
        if type(delta) is int and abs(delta) <= _LARGEST:
            done = await self._bypassing(
                "INCRBY", self._do(port, lambda given: [scripts.incr(self._key(name, given), delta)])
            )
            if done is None or done[1][0] is None:
                return MISSING
            added, raw = done[1][0]
            if added:
                return int(raw)
        total = await self._bypassing("GET", self._add_up(port, name, delta))
        return MISSING if total is None else total

    async def _add_up(self, port: Port, name: str, delta: Any) -> Any:
        # What is done under a generation that was read in this call needs no second look at it: had the shelf been
        # cleared since, this would count as done before.
        while True:
            generation, (raw,) = await self._do(port, lambda given: [get(self._key(name, given))])
            key = self._key(name, generation)
            value = self._open(key, raw).value
            if value is MISSING:
                return MISSING
            total = value + delta
            if await port.call(scripts.swap(key, was=raw, new=self._encode(key, total), seconds=None)):
                return total

    async def move(self, port: Port, name: str, other: str) -> bool:
        """Give a value another name, for the time that it has left; say whether there is one.

        Raises:
            BackendError: Redis could not be used, and that is not to be bypassed; or it may be under both names.
        """
        read = await self._bypassing(
            "GET", self._do(port, lambda given: [get(self._key(name, given)), pttl(self._key(name, given))])
        )
        if read is None:
            return False
        generation, (raw, left) = read
        key, target = self._key(name, generation), self._key(other, generation)
        value = self._open(key, raw).value
        if value is MISSING or left <= 0:
            return False
        if target != key:
            stored = put(target, self._encode(target, value), left / 1000)
            await self._recorded("SET", port.steps([stored], [unlink([key])]))
        return True

    async def clear(self, port: Port) -> None:
        """Remove all values.

        Raises:
            BackendError: Redis could not be used, whether or not that is bypassed.
        """
        nonce = port.token()
        await self._recorded("SET", port.call(scripts.clear(self._place, nonce=nonce, seconds=self._life)))
        self._known = nonce

    def _key(self, name: str, generation: str) -> str:
        return entry_key(self._namespace, "django", shorten(protect(name)), generation)

    async def _read(self, port: Port, names: Iterable[str]) -> tuple[str, list[Reply]]:
        """Read what is under names, and return it after the generation."""
        while True:
            generation = await self._current(port)
            *raws, now = await port.call(mget([*(self._key(name, generation) for name in names), self._place]))
            if self._is_current(generation, now):
                return generation, raws

    async def _do(self, port: Port, build: Callable[[str], list[Command]]) -> tuple[str, list[Reply]]:
        """Send the commands that are built for the generation, until it is the one that there is."""
        while True:
            generation = await self._current(port)
            *replies, now = await port.pipeline([*build(generation), get(self._place)])
            if self._is_current(generation, now):
                return generation, replies

    async def _current(self, port: Port) -> str:
        """Return the generation that this process knows; ask for it at first, and when it needs a longer life."""
        known = self._known
        if known and port.monotonic() < self._due:
            return known
        found = await port.call(scripts.generation(self._place, nonce=port.token(), seconds=self._life))
        self._known, self._due = found.decode(), port.monotonic() + self._life / _REFRESHED
        return self._known

    def _is_current(self, generation: str, now: bytes | None) -> bool:
        if now is not None and now == generation.encode():
            return True
        self._known = ""
        return False

    def _encode(self, key: str, value: object) -> bytes:
        if type(value) is int and -_LARGEST <= value <= _LARGEST:
            return b"%d" % value
        if self._checked:
            return self._codec.encode_checked(key, value, id="", created=0.0, fresh_until=0.0, load_time=0.0)[0]
        return self._codec.encode(key, value, id="", created=0.0, fresh_until=0.0, load_time=0.0)

    def _open(self, key: str, raw: bytes | None) -> Found:
        """Return the value in what was found."""
        if raw is None:
            return self._missed(key, "absent")
        try:
            value = self._codec.value(self._codec.open(key, raw)) if raw[:1] == _FRAME else int(raw)
        except (Unreadable, ValueError) as error:
            self._tally.errors += 1
            reason = error.reason if isinstance(error, Unreadable) else "malformed"
            if self._recorder.hooks:
                self._recorder.emit(EntryUnreadable(_PATTERN, key, reason))
            return self._missed(key, "unreadable")._replace(unreadable=raw)
        self._tally.hits += 1
        if self._recorder.hooks:
            self._recorder.emit(Hit(_PATTERN, key))
        return Found(value)

    def _missed(self, key: str, reason: Any) -> Found:
        self._tally.misses += 1
        if self._recorder.hooks:
            self._recorder.emit(Miss(_PATTERN, key, reason))
        return Found(MISSING)

    def _stored(self, raws: Mapping[str, bytes], ttl: float) -> None:
        self._tally.fills += len(raws)
        if self._recorder.hooks:
            for key, raw in raws.items():
                self._recorder.emit(Fill(_PATTERN, key, len(raw), ttl, 0.0))

    async def _recorded(self, operation: str, work: Awaitable[T]) -> T:
        try:
            return await work
        except BackendError as error:
            self._recorder.backend_failed(self._tally, operation, error)
            raise

    async def _bypassing(self, operation: str, work: Awaitable[T]) -> T | None:
        """Return what `work` brings, or None if Redis could not be used and that is to be bypassed."""
        try:
            return await self._recorded(operation, work)
        except BackendError:
            if self._bypass:
                return None
            raise

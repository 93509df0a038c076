"""The end of a load: its value is stored under its lease, or the lease given back; and for whom that is proof.

    what happened                                  the members that may have the value
    stored, and the tags read again are the same   all: the lease was held until after the last had joined
    given back, and it was still held              the same, for what is not to be stored and has no tags
    no lease, since Redis cannot be used           all: nobody can have invalidated through Redis meanwhile
    refused, or the reply is lost                  those who joined before the loader was called

The flight is off the map before the command that settles it is sent, so that nobody joins who is not covered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from holdfast._current import CurrentEntry, checked_tags
from holdfast._flight import PROVEN, Flight, Landing
from holdfast.commands import Command
from holdfast.core.call import Call
from holdfast.core.leasing import Lease, Leasing
from holdfast.core.nearby import Kept, Nearby
from holdfast.core.reading import as_versions
from holdfast.core.records import Recorder
from holdfast.errors import BackendError, SerializationError
from holdfast.events import Fill, FillRefused, Invalidated, Refreshed
from holdfast.policy.freshness import Versions, parse_versions, stamps_of, unchanged
from holdfast.policy.keys import guard
from holdfast.policy.stamps import Stamp
from holdfast.port import Port
from holdfast.scripts import cache as scripts


class Loaded(NamedTuple):
    """What a loader brought, ready to be stored."""

    raw: bytes | None
    copy: Any
    fresh: float
    """Seconds for which it is fresh; 0 = it is not to be stored."""
    load_time: float
    stamps: tuple[Stamp, ...] = ()
    fresh_until: float = 0.0
    """Unix seconds; 0 for what is not to be kept in the process."""


class Settling:
    """Stores what the loads of one layer bring."""

    def __init__(self, leasing: Leasing, nearby: Nearby, recorder: Recorder) -> None:
        self._leasing = leasing
        self._nearby = nearby
        self._reading = leasing.reading
        self._flights = leasing.flights
        self._names = leasing.names
        self._recorder = recorder

    async def keep(
        self,
        port: Port,
        call: Call,
        flight: Flight,
        lease: Lease,
        entry: CurrentEntry,
        value: object,
        load_time: float,
    ) -> None:
        """Encode a loaded value, store it if it is to be stored, and give it to the members."""
        plan = call.plan
        fresh = _freshness(port, call, entry, value)
        stamps = stamps_of(lease.versions)
        derived = self._derived_tags(call, entry, value) if fresh and plan.keeps else ()
        if derived:
            more = await self._stamps_after(port, call, lease, derived, plan.kept_for(fresh))
            fresh = fresh if more is not None else 0.0
            stamps += more or ()
        now = port.now()
        raw: bytes | None = None
        copy = value
        try:
            raw, copy = plan.codec.encode_checked(
                flight.key,
                value,
                id=lease.token if lease.granted else "",
                created=now,
                fresh_until=now + fresh,
                load_time=load_time,
                stamps=stamps,
                lingers=plan.leeway.extra > 0,
            )
        except SerializationError:
            if fresh and plan.keeps:
                raise  # what is not to be stored need not be storable; its callers share it as it is
        loaded = Loaded(raw, copy, fresh, load_time, stamps, now + fresh)
        stored, proven = await self._settle(port, call, flight, lease, loaded, derived=bool(derived))
        proof = PROVEN if proven else flight.loaded_from
        flight.land(Landing(raw, plan.codec, stored, proof, value=value if raw is None else None), copy)
        if stored and call.background:
            self._recorder.emit(Refreshed(plan.tally.pattern, call.key, background=True))

    async def keep_error(self, port: Port, call: Call, flight: Flight, lease: Lease, error: BaseException) -> bool:
        """Store an exception; False if it would not come back as it is, or is not to be stored."""
        plan = call.plan
        fresh = plan.lifetime.seconds_for(error, port.random())
        now = port.now()
        stamps = stamps_of(lease.versions)
        raw = plan.codec.encode_error(
            call.key,
            error,
            plan.errors,
            id=lease.token,
            created=now,
            fresh_until=now + fresh,
            load_time=0.0,
            stamps=stamps,
            lingers=plan.leeway.extra > 0,
        )
        if raw is None or not fresh or not plan.keeps:
            return False
        await self._settle(port, call, flight, lease, Loaded(raw, None, fresh, 0.0, stamps))
        return True

    async def _settle(
        self, port: Port, call: Call, flight: Flight, lease: Lease, loaded: Loaded, *, derived: bool = False
    ) -> tuple[bool, bool]:
        """Store what was loaded, or give the lease back; return whether it is stored, and proven for every member."""
        self._flights.close(flight)
        flight.unattended = True  # it is nearly done: whoever leaves now need not stop it
        if not lease.granted:
            if lease.token:
                await self._leasing.give_back_quietly(port, call, lease.token)
            return False, True
        try:
            if call.force and not loaded.fresh:
                return await self._remove(port, call)
            if loaded.raw is None or not loaded.fresh:
                held, _ = await port.call(self._leasing.give_back(call, lease.token))
                return False, bool(held) and not (derived or loaded.stamps)
            return await self._fill(port, call, flight, lease, loaded)
        except BackendError as error:
            self._reading.failed("EVALSHA", call.plan, error)
            if call.force:
                raise  # a refresh was asked for; what it was to replace is still there
            return False, False

    async def _remove(self, port: Port, call: Call) -> tuple[bool, bool]:
        """Remove the entry that a refresh was to replace."""
        places = self._names.places(call.key)
        await port.call(scripts.invalidate(places.value, places.lease, channel=places.news))
        if self._recorder.hooks:
            self._recorder.emit(Invalidated(call.plan.tally.pattern, call.key))
        return False, False

    async def _fill(self, port: Port, call: Call, flight: Flight, lease: Lease, loaded: Loaded) -> tuple[bool, bool]:
        """Store what was loaded if the lease still holds, and read its tags again where that is needed as proof."""
        plan = call.plan
        kept = plan.kept_for(loaded.fresh)
        late = flight.latest >= flight.loaded_from
        again: list[Command] = []
        if late or plan.near or kept > plan.tag_life:
            again = self._read_again(port, call, loaded.stamps, kept)
        moment = self._nearby.moment(port) if plan.near else None
        self._nearby.begin_fill(lease.token)
        try:
            stored, *found = await port.pipeline([self._fill_command(call, lease, loaded, kept), *again])
            proven = bool(stored) and (not again or unchanged(loaded.stamps, _by_tag(loaded.stamps, found)))
            if proven and moment is not None and loaded.fresh_until:
                tags = tuple(stamp.tag for stamp in loaded.stamps)
                kept_value = Kept(loaded.raw or b"", loaded.copy, loaded.fresh_until, tags)
                self._nearby.keep(port, plan, call.key, kept_value, moment)
        finally:
            self._nearby.end_fill(lease.token)
        self._note_fill(call, loaded, kept, stored=bool(stored))
        return bool(stored) and plan.keeps, proven

    def _fill_command(self, call: Call, lease: Lease, loaded: Loaded, kept: float) -> Command:
        places = self._names.places(call.key)
        return scripts.fill(
            places.value or places.result(lease.token),
            places.lease,
            token=lease.token,
            frame=loaded.raw or b"",
            seconds=kept,
            channel=places.news,
        )

    def _read_again(self, port: Port, call: Call, stamps: Sequence[Stamp], kept: float) -> list[Command]:
        """Return what reads the tags of an entry once more; if the entry outlives them, it prolongs them, too."""
        tags = [stamp.tag for stamp in stamps]
        if not tags or kept <= call.plan.tag_life:
            return [self._reading.read_tags(tags)] if tags else []
        nonce = port.token()
        return [scripts.tag_versions(self._names.tag(tag), nonce=nonce, seconds=kept) for tag in tags]

    def _derived_tags(self, call: Call, entry: CurrentEntry, value: object) -> tuple[str, ...]:
        """Return the tags that the loader or its result adds to those of the call."""
        given = call.plan.tags_of(value) if call.plan.tags_of is not None else ()
        tags = [guard(tag, "tags") for tag in (*checked_tags(given, "tags="), *entry.tags)]
        return tuple(dict.fromkeys(tag for tag in tags if tag not in call.tags))

    async def _stamps_after(
        self, port: Port, call: Call, lease: Lease, tags: tuple[str, ...], kept: float
    ) -> tuple[Stamp, ...] | None:
        """Return stamps of tags that were not known before the load, or None if an invalidation may have come between.

        The versions are read first, then the epoch, which every invalidation writes first. An epoch that is still what
        it was before the load says that none of these versions is newer than the load.
        """
        if lease.epoch is None:
            call.plan.derivation.expected = True  # from the next load on, it is read
            return None
        nonce, life = port.token(), max(kept, call.plan.tag_life)
        reads = [scripts.tag_versions(self._names.tag(tag), nonce=nonce, seconds=life) for tag in tags]
        epoch = Command(("GET", self._names.epoch), (self._names.epoch,), True)
        try:
            *versions, now = await port.steps(reads, [epoch])
        except BackendError:
            return None  # what cannot be read proves nothing
        if parse_versions(now) != lease.epoch:
            return None
        return stamps_of(dict(zip(tags, map(parse_versions, versions), strict=True)))

    def _note_fill(self, call: Call, loaded: Loaded, kept: float, *, stored: bool) -> None:
        plan = call.plan
        if not plan.keeps:
            return
        if stored:
            plan.tally.fills += 1
        if not self._recorder.hooks:
            return
        if stored:
            size = len(loaded.raw or b"")
            self._recorder.emit(Fill(plan.tally.pattern, call.key, size, kept, loaded.load_time))
        else:
            self._recorder.emit(FillRefused(plan.tally.pattern, call.key, loaded.load_time))


def _freshness(port: Port, call: Call, entry: CurrentEntry, value: object) -> float:
    """Return for how many seconds a result is fresh; 0 means not to store it."""
    plan = call.plan
    if not entry.storing or (plan.condition is not None and not plan.condition(value)):
        return 0.0
    return plan.lifetime.seconds_for(value, port.random(), instead=entry.ttl)


def _by_tag(stamps: Sequence[Stamp], replies: Sequence[Any]) -> dict[str, Versions | None]:
    """Return the versions that were read again: one reply a tag, or one list of all."""
    found = replies[0] if isinstance(replies[0], list) else replies
    return as_versions([stamp.tag for stamp in stamps], found)

"""The end of a load: its value is stored under its lease, or the lease given back; and for whom that is proof.

    what happened                                  the members that may have the value
    stored, and the tags read again are the same   all: the lease was held until after the last had joined
    given back, and it was still held              the same, for what is not to be stored and has no tags
    no lease, since Redis cannot be used           all: nobody can have invalidated through Redis meanwhile
    refused, or the reply is lost                  those who joined before the loader was called

The flight is off the map before the command that settles it is sent, so that nobody joins who is not covered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, cast

from holdfast._current import CurrentEntry
from holdfast._flight import PROVEN, Flight, Landing
from holdfast.commands import Command, Reply
from holdfast.core import encoding
from holdfast.core.call import Call
from holdfast.core.encoding import After, Loaded
from holdfast.core.leasing import Lease, Leasing
from holdfast.core.nearby import Kept, Moment, Nearby
from holdfast.core.plan import Plan
from holdfast.core.reading import as_versions
from holdfast.core.records import Recorder
from holdfast.errors import BackendError
from holdfast.events import Fill, FillRefused, Invalidated, Refreshed
from holdfast.policy.freshness import Versions, parse_versions, stamps_of, unchanged
from holdfast.policy.stamps import Stamp
from holdfast.port import Port
from holdfast.scripts import cache as scripts


class Ending(NamedTuple):
    """The command that ends a lease."""

    does: Literal["fill", "give back", "remove"]
    command: Command


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
        fresh, derived = encoding.weigh(port, call, entry, value)
        after: After | None = None
        if derived and fresh and lease.epoch is not None:
            after = await self.read_after(port, call.plan, derived, call.plan.kept_for(fresh))
        loaded = encoding.encode(port, call, lease, value, fresh, load_time, derived, after)
        stored, proven = await self._settle(port, call, flight, lease, loaded)
        self.land(call, flight, loaded, stored=stored, proven=proven)

    def land(self, call: Call, flight: Flight, loaded: Loaded, *, stored: bool, proven: bool) -> None:
        """Give what was loaded to the members for whom it is proven."""
        proof = PROVEN if proven else flight.loaded_from
        value = loaded.copy if loaded.raw is None else None
        flight.land(Landing(loaded.raw, call.plan.codec, stored, proof, value=value), loaded.copy)
        if stored and call.background:
            self._recorder.emit(Refreshed(call.plan.tally.pattern, call.key, background=True))

    async def keep_error(
        self, port: Port, call: Call, flight: Flight, lease: Lease, entry: CurrentEntry, error: BaseException
    ) -> bool:
        """Store an exception; False if it would not come back as it is, or is not to be stored."""
        plan = call.plan
        if not plan.keeps or not entry.storing:
            return False
        fresh = plan.lifetime.seconds_for(error, port.random(), instead=entry.ttl)
        stamps = stamps_of(lease.versions)
        derived = encoding.added_tags(call, entry, error, stored=False)
        if derived:
            known = lease.epoch is not None
            after = await self.read_after(port, plan, derived, plan.kept_for(fresh)) if known else None
            more = encoding.stamps_after(plan, lease, derived, after)
            if more is None:
                return False
            stamps += more
        now = port.now()
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
        if raw is None or not fresh:
            return False
        await self._settle(port, call, flight, lease, Loaded(raw, None, fresh, plan.kept_for(fresh), 0.0, stamps))
        return True

    async def _settle(self, port: Port, call: Call, flight: Flight, lease: Lease, loaded: Loaded) -> tuple[bool, bool]:
        """Store what was loaded, or give the lease back; return whether it is stored, and proven for every member."""
        self.close(flight)
        if not lease.granted:
            return False, not call.late
        try:
            ending = self.ending(call, lease, loaded)
            if ending.does == "fill":
                return await self._fill(port, call, flight, lease, loaded, ending)
            return self.ended(port, call, lease, loaded, ending, await port.call(ending.command))
        except BackendError as error:
            self._leasing.returning.renounce(port, [(call, lease.token)])
            self._reading.failed("fill", call.plan, error)
            if call.force:
                raise  # a refresh was asked for; what it was to replace is still there
            return False, False

    def close(self, flight: Flight) -> None:
        """Take a flight off the map, before the command that settles it is sent."""
        self._flights.close(flight)
        flight.unattended = True  # it is nearly done: whoever leaves now need not stop it

    def ending(self, call: Call, lease: Lease, loaded: Loaded) -> Ending:
        """Return what is to become of a lease that was granted: what was loaded under it is stored, or it is ended."""
        places = self._names.places(call.key)
        if call.force and not loaded.fresh:  # a refresh removes what it was to replace
            return Ending("remove", scripts.invalidate(places.value or places.lease, places.lease, channel=places.news))
        if loaded.raw is None or not loaded.fresh:
            return Ending("give back", self._leasing.returning.command(call.key, lease.token))
        fill = scripts.fill(
            places.value or places.result(lease.token),
            places.lease,
            token=lease.token,
            frame=loaded.raw,
            seconds=loaded.kept,
            channel=places.news,
        )
        return Ending("fill", fill)

    def ended(
        self,
        port: Port,
        call: Call,
        lease: Lease,
        loaded: Loaded,
        ending: Ending,
        reply: Reply,
        versions: Mapping[str, Versions | None] | None = None,
        moment: Moment | None = None,
    ) -> tuple[bool, bool]:
        """Return whether a loaded value is stored, and whether it is proven for every member.

        Args:
            port: of whoever loaded.
            call: what was loaded.
            lease: under which.
            loaded: the value.
            ending: what was sent.
            reply: to that.
            versions: of the tags, if they were read again with it.
            moment: before that, if the value may be kept in this process.
        """
        if ending.does == "remove":
            self._nearby.near.bump(call.key)
            if self._recorder.hooks:
                self._recorder.emit(Invalidated(call.plan.tally.pattern, call.key))
            return False, False
        if ending.does == "give back":
            return False, bool(reply[0]) and not (loaded.derived or loaded.stamps)
        stored = bool(reply)
        proven = stored and (versions is None or unchanged(loaded.stamps, versions))
        kept_near = False
        if proven and moment is not None and loaded.fresh_until:
            tags = tuple(stamp.tag for stamp in loaded.stamps)
            kept = Kept(loaded.raw or b"", loaded.copy, loaded.fresh_until, tags)
            kept_near = self._nearby.keep(port, call.plan, call.key, kept, moment)
        if stored and not kept_near:
            self._nearby.near.bump(call.key)  # what this process has of the key is older
        self._note_fill(call, loaded, stored=stored)
        return stored and call.plan.keeps, proven

    async def _fill(
        self, port: Port, call: Call, flight: Flight, lease: Lease, loaded: Loaded, ending: Ending
    ) -> tuple[bool, bool]:
        """Store what was loaded if the lease still holds, and read its tags again where that is needed as proof."""
        again = self.read_again(port, call.plan, loaded) if self.needs_proof(call.plan, flight, loaded) else []
        moment = self._nearby.moment(port) if call.plan.near else None
        self._nearby.begin_fill(lease.token)
        try:
            reply, *found = await port.pipeline([ending.command, *again])
            versions = as_read_again(loaded.stamps, found) if again else None
            return self.ended(port, call, lease, loaded, ending, reply, versions, moment)
        finally:
            self._nearby.end_fill(lease.token)

    def needs_proof(self, plan: Plan, flight: Flight, loaded: Loaded) -> bool:
        """Say whether the tags of an entry have to be read again when it is stored."""
        late = flight.latest >= flight.loaded_from
        return late or plan.near > 0 or loaded.kept > plan.tag_life

    def read_again(self, port: Port, plan: Plan, *loaded: Loaded) -> list[Command]:
        """Return what reads the tags of entries once more; if an entry outlives them, it prolongs them, too."""
        tags = list(dict.fromkeys(stamp.tag for one in loaded for stamp in one.stamps))
        kept = max(one.kept for one in loaded)
        if not tags or kept <= plan.tag_life:
            return [self._reading.read_tags(tags)] if tags else []
        nonce = port.token()
        return [scripts.tag_versions(self._names.tag(tag), nonce=nonce, seconds=kept) for tag in tags]

    async def read_after(self, port: Port, plan: Plan, tags: Sequence[str], kept: float) -> After | None:
        """Read tags that were not known before the load; None if that cannot be done now.

        The versions are read first, then the epoch, which every invalidation writes first. An epoch that is still what
        it was before the load says that none of these versions is newer than the load.
        """
        nonce, life = port.token(), max(kept, plan.tag_life)
        reads = [scripts.tag_versions(self._names.tag(tag), nonce=nonce, seconds=life) for tag in tags]
        epoch = Command(("GET", self._names.epoch), (self._names.epoch,), True)
        try:
            *versions, now = await port.steps(reads, [epoch])
        except BackendError:
            return None  # what cannot be read proves nothing
        return After(dict(zip(tags, map(parse_versions, versions), strict=True)), parse_versions(now))

    def _note_fill(self, call: Call, loaded: Loaded, *, stored: bool) -> None:
        plan = call.plan
        if not plan.keeps:
            return
        if stored:
            plan.tally.fills += 1
        if not self._recorder.hooks:
            return
        if stored:
            size = len(loaded.raw or b"")
            self._recorder.emit(Fill(plan.tally.pattern, call.key, size, loaded.kept, loaded.load_time))
        else:
            self._recorder.emit(FillRefused(plan.tally.pattern, call.key, loaded.load_time))


def as_read_again(stamps: Iterable[Stamp], replies: Sequence[Reply]) -> dict[str, Versions | None]:
    """Return the versions that were read again: one reply a tag, or one list of all."""
    found = cast("Sequence[Reply]", replies[0]) if isinstance(replies[0], list) else replies
    return as_versions(list(dict.fromkeys(stamp.tag for stamp in stamps)), found)

"""Locks over several independent servers, of which a minority may fail: Redlock, with fencing tokens.

    1. ask       all servers for the lock at once, each with little patience; a quorum must grant it
    2. fix       the greatest of their fencing tokens, at a quorum again: whoever holds the lock next has asked one of
                 those, which mints a greater one, whatever their clocks say
    3. held      until the lease is over, counted from before the first question, less the drift of clocks
    or give back everywhere, where a server may have granted it; also where one was too late to say so

In a thread the servers are asked one after the other, and no more of them once it is clear that there is no quorum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from holdfast.commands import Reply, get
from holdfast.core.leaving import Leaving
from holdfast.core.records import Recorder, Tally
from holdfast.core.red_votes import Grant, Node, PortOf, Refusal, Vote, Wanted
from holdfast.errors import BackendError, BackendTimeout
from holdfast.policy.quorum import drift, is_reachable, quorum, validity, worth_trying_in
from holdfast.scripts import locks as scripts


class Redlocking:
    """Takes, keeps and gives back locks over several servers."""

    def __init__(self, recorder: Recorder, replicas: Sequence[Node]) -> None:
        """Set it up.

        Args:
            recorder: where failures are told.
            replicas: the servers, at least one, which must not know of each other.
        """
        self.nodes = tuple(replicas)
        self._recorder = recorder
        self._leaving = [_leaving(recorder, node) for node in self.nodes]
        self._quorum = quorum(len(self.nodes))

    def after_fork(self) -> None:
        """In a child process: forget what is the parent's to give back."""
        for leaving in self._leaving:
            leaving.after_fork()

    async def try_take(self, port_of: PortOf, name: str, member: str, lease: float, tally: Tally) -> Grant | Refusal:
        """Ask all servers for a lock, once.

        Args:
            port_of: chooses the caller's colour.
            name: of the lock, escaped and shortened.
            member: who wants it; new for each try.
            lease: seconds for which it is granted.
            tally: where failures are counted.

        Raises:
            BackendError: so many servers could not be asked that there was no quorum of others.
        """
        votes = self._votes(port_of, name)
        port = votes[0].port
        wanted = Wanted(name, member, lease, tally, port.monotonic())
        try:
            await port.together([self._ask(vote, votes, wanted) for vote in votes])
            granted = [vote for vote in votes if vote.fence is not None]
            if len(granted) >= self._quorum:
                fence = max(vote.fence or 0 for vote in granted)
                await port.together([self._fix(vote, granted, fence, wanted) for vote in granted])
                if sum(vote.confirmed for vote in granted) >= self._quorum and _is_valid(port.monotonic(), wanted):
                    return _grant(votes, fence, wanted)
        except BaseException:
            _renounce_at_last(votes, wanted)
            raise
        await self._give_back(votes, wanted)
        return self._refuse(votes, wanted)

    async def keep(self, port_of: PortOf, grant: Grant, lease: float, tally: Tally) -> float | None:
        """Let a lock last `lease` seconds from now; return until when, on the port's clock, or None if it is lost.

        Raises:
            BackendError: too few servers could be asked: whether it lasts longer is not known.
        """
        votes = self._votes(port_of, grant.name)
        port = votes[0].port
        wanted = Wanted(grant.name, grant.member, lease, tally, port.monotonic())
        kept = sum(await port.together([self._keep(vote, wanted) for vote in votes]))
        if kept >= self._quorum:
            return _end(wanted)
        failed = [vote.failure for vote in votes if vote.failure is not None]
        if not is_reachable(len(votes), len(votes) - kept - len(failed)):
            return None
        raise failed[0]

    async def leave(self, port_of: PortOf, grant: Grant, tally: Tally) -> bool:
        """Give a lock back on all servers; say whether it may have been held until now.

        Where that fails it is done later, in the background.
        """
        votes = self._votes(port_of, grant.name)
        for vote in votes:
            vote.is_silent = vote.node in grant.silent
            vote.may_hold = vote.is_silent or vote.node in grant.nodes
            vote.doubted_until = grant.doubted_until if vote.is_silent else 0.0
        wanted = Wanted(grant.name, grant.member, grant.lease, tally, votes[0].port.monotonic())
        found = await self._give_back(votes, wanted)
        others = sum(not vote.may_hold for vote in votes)
        return is_reachable(len(votes), found.count(False) + others)

    async def is_held(self, port_of: PortOf, name: str, tally: Tally) -> bool:
        """Say whether somebody holds a lock.

        Raises:
            BackendError: too few servers could be asked to know.
        """
        votes = self._votes(port_of, name)
        port = votes[0].port
        wanted = Wanted(name, "", 0.0, tally, port.monotonic())
        members = Counter(await port.together([self._look(vote, wanted) for vote in votes]))
        failed = [vote.failure for vote in votes if vote.failure is not None]
        del members[None]
        most = max(members.values(), default=0)
        if failed and most < self._quorum <= most + len(failed):
            raise failed[0]
        return most >= self._quorum

    def _votes(self, port_of: PortOf, name: str) -> list[Vote]:
        return [
            Vote(node, port_of(node), node.names.lock("lock", name), leaving)
            for node, leaving in zip(self.nodes, self._leaving, strict=True)
        ]

    async def _ask(self, vote: Vote, votes: Sequence[Vote], wanted: Wanted) -> None:
        """Ask one server for the lock, unless it is clear already that there is no quorum."""
        asked = vote.port.monotonic()
        refused = sum(each.busy is not None or each.failure is not None for each in votes)
        if not (is_reachable(len(votes), refused) and _is_valid(asked, wanted)):
            return
        command = scripts.take(vote.places, wanted.member, wanted.lease)._replace(patience=wanted.patience)
        vote.may_hold, vote.doubted_until = True, asked + wanted.lease
        try:
            taken, found = await vote.port.call(command)
        except BackendError as error:
            if not error.was_sent:
                vote.doubted_until = 0.0
            self._note(vote, "take", error, wanted)
            return
        vote.doubted_until = 0.0
        vote.leaving.note_pace(vote.port.monotonic() - asked)
        if taken:
            vote.fence = int(found)
        else:
            vote.busy, vote.may_hold = found / 1000, False

    async def _fix(self, vote: Vote, granted: Sequence[Vote], fence: int, wanted: Wanted) -> None:
        """Have one server know of the greatest fencing token."""
        failed = sum(each.failure is not None for each in granted)
        if len(granted) - failed < self._quorum or not _is_valid(vote.port.monotonic(), wanted):
            return
        command = scripts.fix_fence(vote.places, wanted.member, fence)._replace(patience=wanted.patience)
        try:
            vote.confirmed = bool(await vote.port.call(command))
        except BackendError as error:
            self._note(vote, "take", error, wanted)

    async def _keep(self, vote: Vote, wanted: Wanted) -> bool:
        command = scripts.keep(vote.places, wanted.member, wanted.lease)._replace(patience=wanted.patience)
        try:
            return bool(await vote.port.call(command))
        except BackendError as error:
            self._note(vote, "keep", error, wanted)
            return False

    async def _look(self, vote: Vote, wanted: Wanted) -> Reply:
        try:
            return await vote.port.call(get(vote.places.held)._replace(patience=wanted.patience))
        except BackendError as error:
            self._note(vote, "look", error, wanted)
            return None

    def _note(self, vote: Vote, operation: str, error: BackendError, wanted: Wanted) -> None:
        vote.failure, vote.is_silent = error, True
        self._recorder.backend_failed(wanted.tally, operation, error)

    async def _give_back(self, votes: Sequence[Vote], wanted: Wanted) -> list[bool | None]:
        """Give the lock back where it may be held; say of each whether it was, None where it is done later."""
        try:
            return await votes[0].port.together([self._leave(vote, wanted) for vote in votes if vote.may_hold])
        except BaseException:
            _renounce_at_last(votes, wanted)
            raise

    async def _leave(self, vote: Vote, wanted: Wanted) -> bool | None:
        left = vote.left(wanted)
        if vote.is_silent:
            vote.leaving.renounce(vote.port, left)
            return None
        try:
            found = await vote.port.call(scripts.leave(vote.places, wanted.member)._replace(patience=wanted.patience))
        except BackendError as error:
            self._note(vote, "leave", error, wanted)
            vote.leaving.renounce(vote.port, left)
            return None
        if not found and vote.port.monotonic() < left.doubted_until:
            vote.leaving.renounce(vote.port, left)
        return bool(found)

    def _refuse(self, votes: Sequence[Vote], wanted: Wanted) -> Refusal:
        """Return why there is no quorum, and until when; raise if that is for want of servers."""
        failed = [vote.failure for vote in votes if vote.failure is not None]
        if not is_reachable(len(votes), len(failed)):
            raise failed[0]
        port = votes[0].port
        now = port.monotonic()
        busy = [vote.busy for vote in votes if vote.busy is not None]
        granted = sum(vote.fence is not None for vote in votes)
        until = now + worth_trying_in(len(votes), granted, busy, port.random())
        if not is_reachable(len(votes), len(busy)):
            return Refusal(until, None, granted > 0)
        if not failed:
            took = f"{now - wanted.began:.3g} s of a lease of {wanted.lease:g} s"
            msg = f"the lock {wanted.name!r} was granted, but by too few servers for long enough: it took {took}"
            failed.append(BackendTimeout(msg))
        return Refusal(until, failed[0], granted > 0)


def _is_valid(now: float, wanted: Wanted) -> bool:
    return validity(wanted.lease, now - wanted.began) > 0


def _end(wanted: Wanted) -> float:
    return wanted.began + wanted.lease - drift(wanted.lease)


def _grant(votes: Sequence[Vote], fence: int, wanted: Wanted) -> Grant:
    nodes = tuple(vote.node for vote in votes if vote.fence is not None)
    silent = tuple(vote.node for vote in votes if vote.fence is None and vote.may_hold)
    doubted = max(vote.doubted_until for vote in votes)
    return Grant(wanted.name, wanted.member, wanted.lease, fence, _end(wanted), nodes, silent, doubted)


def _renounce_at_last(votes: Sequence[Vote], wanted: Wanted) -> None:
    """See to it that nothing is left, for a caller who was cancelled or interrupted."""
    for vote in votes:
        if vote.may_hold:
            vote.leaving.renounce_at_last(vote.port, vote.left(wanted))


def _leaving(recorder: Recorder, node: Node) -> Leaving:
    return Leaving(recorder, lambda key, member: scripts.leave(node.names.lock_at(key)[1], member))

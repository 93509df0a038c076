"""Locks over several independent servers."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self, TypedDict, Unpack, cast

from holdfast import _forks
from holdfast._calls import drive
from holdfast.core.lock_claims import Claim
from holdfast.core.red_votes import Node
from holdfast.core.redlock_keeping import RedlockKeeping
from holdfast.entered import current_owner
from holdfast.errors import ConfigurationError
from holdfast.layer import Layer
from holdfast.lock_blocks import Block, grip, refuse_own
from holdfast.lock_handles import Held
from holdfast.lock_terms import LeaseOptions, Terms, checked_terms
from holdfast.options import refuse_unknown
from holdfast.policy.keys import guard
from holdfast.port import Port
from holdfast.typing import Duration

_FEWEST: Final = 3
_SHORTEST_LEASE: Final = 0.05


class RedlockOptions(TypedDict, total=False):
    """The options of `Redlock.lock`, which explains each."""

    lease: Duration
    wait: Duration | None
    max_lifetime: Duration | None
    cancel_on_loss: bool


class Redlock:
    """Locks that more than half of several independent servers must grant, so that a minority may fail.

    The servers must not know of each other: five single ones, say, none of them a replica of another. It is the
    algorithm of the page "Distributed Locks with Redis" of the documentation of Redis, and has fencing tokens besides:
    the greatest of those that the servers mint is written back to a quorum before the lock counts as held.

    Example:
        >>> from holdfast import Redlock
        >>> with Redlock(["memory://red-1", "memory://red-2", "memory://red-3"], namespace="shop") as redlock:
        ...     with redlock.lock("import", wait=5) as held:
        ...         held.lost
        False
    """

    def __init__(self, urls_or_layers: Iterable[str | Layer], *, namespace: str = "") -> None:
        """Set it up. Nothing is opened before it is used.

        Args:
            urls_or_layers: the servers, an odd number from three on, each as a URL or as a layer; the layers must have
                the same namespace.
            namespace: what keys begin with, for servers that are given as URLs.

        Raises:
            ConfigurationError: they cannot vote; the message says why.
        """
        if isinstance(urls_or_layers, str | Layer) or not isinstance(urls_or_layers, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
            what = type(urls_or_layers).__name__  # a URL may hold a password
            msg = f"Redlock takes several servers, such as ['redis://a', 'redis://b', 'redis://c'], not one {what}"
            raise ConfigurationError(msg)
        given = list(urls_or_layers)
        self._own = [Layer(each, namespace=namespace) for each in given if isinstance(each, str)]
        own = iter(self._own)
        layers = [next(own) if isinstance(each, str) else _checked(each) for each in given]
        _check_servers(layers)
        engines = [layer.engine for layer in layers]
        self.recorder = engines[0].recorder
        self.keeper = RedlockKeeping(
            self.recorder,
            [Node(engine.blocking, engine.asyncio, engine.caching.names) for engine in engines],
        )
        self.blocking = engines[0].blocking
        self.asyncio = engines[0].asyncio
        self._layers = layers
        _forks.watch(self)

    def lock(self, name: str, **options: Unpack[RedlockOptions]) -> VotedLock:
        """Return a lock for ``with`` and ``async with``; it has the verbs of `Layer.lock`.

        Args:
            name: of the lock, the same in all processes.
            options:
                lease: how long the lock of a process that died stays taken (default 10 s).
                wait: how long to wait for it; None, the default, is for ever, 0 not at all.
                max_lifetime: after which time it is renewed no more.
                cancel_on_loss: whether to cancel the ``async with`` block when the lock is lost.

        Raises:
            ConfigurationError: an option cannot work. Entering raises `LockNotAcquired`, or `BackendError` if too few
                servers can be reached.
        """
        refuse_unknown("Redlock.lock", options, RedlockOptions.__optional_keys__)
        terms = checked_terms(cast("LeaseOptions", options), lease=10)
        if terms.lease < _SHORTEST_LEASE:
            msg = f"lease={terms.lease:g} s is over before several servers have been asked: give at least 0.05 s"
            raise ConfigurationError(msg)
        engine, guarded = self._layers[0].engine, guard(name, "name")
        claim = Claim(
            name,
            "lock",
            engine.caching.names.lock("lock", guarded),
            engine.recorder.tally("redlock"),
            terms.lease,
            terms.wait,
            max_lifetime=terms.max_lifetime,
        )
        return VotedLock(self, claim, terms)

    def after_fork(self) -> None:
        """In a child process: all locks so far are the parent's."""
        self.keeper.after_fork()

    def close(self) -> None:
        """Close the connections that were opened here; layers that were given stay open."""
        for layer in self._own:
            layer.close()

    async def aclose(self) -> None:
        """Close the connections that were opened here, and wait until those of the running loop are gone."""
        for layer in self._own:
            await layer.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Redlock over {len(self._layers)} servers>"


class VotedLock(Block[Held]):
    """One lock that several servers vote on; `Redlock.lock` makes it."""

    def __init__(self, redlock: Redlock, claim: Claim, terms: Terms) -> None:
        super().__init__(redlock, terms, "a lock")
        self._redlock = redlock
        self._claim = claim

    def locked(self) -> bool:
        """Return whether a quorum says that somebody holds it now. It may be old news when it arrives."""
        return drive(self._redlock.keeper.is_held(self._redlock.blocking, self._claim))

    async def alocked(self) -> bool:
        """Do what `locked` does, for async callers."""
        return await self._redlock.keeper.is_held(self._redlock.asyncio, self._claim)

    async def _take(self, port: Port, *, in_block: bool) -> Held:
        redlock, claim = self._redlock, self._claim
        owner = current_owner()
        refuse_own(redlock, claim, owner)
        hold = await redlock.keeper.acquire(port, claim)
        return Held(redlock, hold, grip(claim, owner) if in_block else None)

    def __repr__(self) -> str:
        return f"<Redlock {self._claim.title}>"


def _checked(layer: object) -> Layer:
    if not isinstance(layer, Layer):
        msg = f"Redlock takes URLs and layers, not {type(layer).__name__}"
        raise ConfigurationError(msg)
    return layer


def _check_servers(layers: list[Layer]) -> None:
    if len(layers) < _FEWEST or len(layers) % 2 == 0:
        msg = f"Redlock over {len(layers)} servers survives no more failures than over fewer: give three, five or seven"
        raise ConfigurationError(msg)
    topologies = [str(layer.engine.backend.topology) for layer in layers]
    twice = next((each for each in topologies if topologies.count(each) > 1), None)
    if twice is not None:
        msg = f"{twice} is given twice: it would have two votes; Redlock needs servers that fail apart"
        raise ConfigurationError(msg)
    if len({layer.engine.namespace for layer in layers}) > 1:
        msg = "the layers of a Redlock must have the same namespace: other processes would look under other keys"
        raise ConfigurationError(msg)

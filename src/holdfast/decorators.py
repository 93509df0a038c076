"""The decorators that users type, on the layer that they name or on the default one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Never, TypeVar, Unpack

from holdfast.core.limit_checks import OnLimitFailure
from holdfast.core.plan import OnWaitTimeout
from holdfast.defaults import engine_of
from holdfast.idempotent import IdempotentOptions, OnIdempotencyFailure, run_once
from holdfast.layer import Layer, decorate, decorate_many, protect
from holdfast.limited import LimitOptions, QuotaOption, limit
from holdfast.locked import LockedOptions, OnBusy, lock_calls
from holdfast.options import CachedOptions, KeyOption, ManyOptions, TagsOption, refuse_unknown
from holdfast.policy.decision import LimitDecision
from holdfast.policy.lifetime import TimeToLive
from holdfast.typing import Duration

F = TypeVar("F", bound=Callable[..., Any])


def cached(
    ttl: TimeToLive,
    *,
    key: KeyOption = None,
    key_builder: str | None = None,
    tags: TagsOption = (),
    serializer: str | None = None,
    compression: str | None = None,
    jitter: float = 0.0,
    condition: Callable[[Any], bool] | None = None,
    cache_errors: type[Exception] | tuple[type[Exception], ...] = (),
    grace: Duration = 0,
    stale_if_error: Duration = 0,
    beta: float = 0.0,
    lease: Duration = "30s",
    wait: Duration = "30s",
    on_wait_timeout: OnWaitTimeout = "load",
    soft_timeout: Duration | None = None,
    hard_timeout: Duration | None = None,
    near: Duration | None = None,
    version: str = "",
    layer: Layer | None = None,
    **unknown: Never,
) -> Callable[[F], F]:
    """Keep the results of a function, plain or async, in Redis.

    A call that finds an entry costs one GET. One that does not calls the function and stores what it returned;
    concurrent calls with the same key, in all threads, tasks and processes, share that one load. After an entry was
    invalidated, nobody who calls gets a value that was loaded before. Every caller gets a copy of its own. While Redis
    cannot be used, calls go to the function (unless the layer says ``on_failure="raise"``).

    Put it on the outside of ``@classmethod`` and ``@staticmethod``, or directly on the function; both work. Type
    checkers see the function unchanged. `entries` reaches what is stored.

    Args:
        ttl: how long a result is kept: seconds, a `timedelta`, text such as ``"5m"``, or a function of the result that
            gives one of these (0: do not store).
        key: a template such as ``"product:{product_id}"``, checked against the parameters here and now, or a function
            of the arguments that returns text. Without it `key_builder` names the entry.
        key_builder: ``"by-arguments"`` (module, function and arguments), ``"by-request"``, or one that you registered.
        tags: templates such as ``["category:{category_id}"]``, or a function of the result that returns tags;
            ``layer.cache.invalidate_tags`` invalidates all entries that carry one.
        serializer: how values become bytes; the layer's, unless given.
        compression: the layer's, unless given.
        jitter: 0.2 lets each entry live up to 20 % longer, so that many do not expire at once.
        condition: a function of the result; where it returns false, the result is not stored.
        cache_errors: exceptions that are stored and raised again like results, as long as `ttl` says; a function there
            gets the exception.
        grace: how long after its `ttl` an entry is still returned at once, while one caller refreshes it behind.
        stale_if_error: how long after its `ttl` an entry is returned if the function raises; after a failure the
            function is left alone for a tenth of that time (of `grace` if that is longer), from half a second to ten.
        beta: how eagerly entries are refreshed before they run out, by chance and by how long the load took: 1 is the
            usual value, 0 is never.
        lease: after which time another process may load if the one that does so has died. A load that takes longer
            renews it.
        wait: how long a call waits for another's load before `on_wait_timeout`.
        on_wait_timeout: ``"load"`` for this call alone, without storing; take what is ``"stale"``, if there is
            anything; or ``"raise"`` `LoadTimeout`.
        soft_timeout: when a load takes longer and there is a stale value, return that; the load goes on.
        hard_timeout: when a load takes longer, raise `LoadTimeout`; the load goes on.
        near: how long an entry may be kept in this process, where a hit needs no Redis; the layer's, unless given.
        version: change it when the meaning of the results changes: old entries are not read any more.
        layer: the layer; without it, the default one at each call.
        unknown: refused, with the names of those that there are.

    Raises:
        ConfigurationError: when decorating: an option or the function cannot work; the message says what to change.
            At the first call: the layer's serializer, or one that it lacks, cannot decode to the return type.

    Example:
        >>> from holdfast import Layer, cached
        >>> @cached(ttl="5m", key="greeting:{name}", layer=Layer("memory://cached-example"))
        ... def greet(name: str) -> str:
        ...     print("working")
        ...     return f"hello {name}"
        >>> greet("Ada")
        working
        'hello Ada'
        >>> greet("Ada")
        'hello Ada'
    """
    refuse_unknown("cached", unknown, CachedOptions.__optional_keys__, beside=["layer"])
    return decorate(
        engine_of(layer),
        ttl,
        key=key,
        key_builder=key_builder,
        serializer=serializer,
        compression=compression,
        tags=tags,
        jitter=jitter,
        condition=condition,
        cache_errors=cache_errors,
        grace=grace,
        stale_if_error=stale_if_error,
        beta=beta,
        lease=lease,
        wait=wait,
        on_wait_timeout=on_wait_timeout,
        soft_timeout=soft_timeout,
        hard_timeout=hard_timeout,
        near=near,
        version=version,
    )


def cached_many(
    ttl: TimeToLive,
    *,
    key: str,
    missing_ttl: Duration | None = None,
    layer: Layer | None = None,
    **options: Unpack[ManyOptions],
) -> Callable[[F], F]:
    """Keep what a loader of many values brings, plain or async, id by id.

    The loader takes a list of ids and returns a mapping, ``{id: value}``, of those that exist. So does the decorated
    function, for any iterable of ids: in the order in which they were asked for, without those that do not exist. All
    entries are read with one MGET. Ids that somebody loads already, in this or another process, are waited for; the
    loader is called once, with the rest. What `cached` promises of one entry holds for each of them.

    Args:
        ttl: how long a value is kept, as for `cached`; a function of it gets one value.
        key: a template such as ``"product:{product_id}"``. One field stands for one id; any other field is a parameter
            of the loader besides the ids, which are its first one.
        missing_ttl: how long it is kept that an id does not exist; None: it is not, and is asked for again.
        layer: the layer; without it, the default one at each call.
        options: as for `cached`, without `cache_errors` and `key_builder`. Templates in `tags` may name the field of
            `key` that stands for one id; functions of the result get one value.

    Raises:
        ConfigurationError: when decorating: an option or the loader cannot work; the message says what to change.
            At the first call: the layer's serializer, or one that it lacks, cannot decode to the type of the values.

    Example:
        >>> from holdfast import Layer, cached_many
        >>> @cached_many(ttl="5m", key="square:{number}", layer=Layer("memory://cached-many-example"))
        ... def squares(numbers: list[int]) -> dict[int, int]:
        ...     print("loading", numbers)
        ...     return {number: number**2 for number in numbers}
        >>> squares([2, 3])
        loading [2, 3]
        {2: 4, 3: 9}
        >>> squares([4, 3])
        loading [4]
        {4: 16, 3: 9}
    """
    return decorate_many(engine_of(layer), ttl, key=key, missing_ttl=missing_ttl, **options)


def stampede_protected(
    ttl: TimeToLive | None = None, *, layer: Layer | None = None, **options: Unpack[CachedOptions]
) -> Callable[[F], F]:
    """Protect a function, plain or async, from being called many times at once for the same thing.

    With a `ttl` it is `cached` with early refresh: ``beta=1.0`` lets one caller refresh an entry in the background
    before it runs out, the likelier the dearer the load and the nearer the end. Add `grace`, `stale_if_error` and the
    time-outs as you need them.

    Without a `ttl` nothing is kept: calls with the same key that run at the same time, in all threads, tasks and
    processes, share one call of the function, and the next one calls it again.

    Args:
        ttl: how long a result is kept; None shares calls and keeps nothing.
        layer: the layer; without it, the default one at each call.
        options: as for `cached`.

    Raises:
        ConfigurationError: when decorating: an option or the function cannot work; the message says what to change.

    Example:
        >>> from holdfast import Layer, stampede_protected
        >>> @stampede_protected(layer=Layer("memory://protected-example"))
        ... def report(day: str) -> str:
        ...     return f"report of {day}"
        >>> report("Monday")
        'report of Monday'
    """
    return protect(engine_of(layer), ttl, **options)


def rate_limited(
    quota: QuotaOption,
    *,
    key: KeyOption = None,
    cost: int | Callable[..., Any] = 1,
    wait: Duration | None = None,
    on_failure: OnLimitFailure = "open",
    budget: Duration = "100ms",
    shadow: bool = False,
    exempt: Callable[..., Any] | None = None,
    on_refused: Callable[[LimitDecision], Any] | None = None,
    layer: Layer | None = None,
    **unknown: Never,
) -> Callable[[F], F]:
    """Limit how often a function, plain or async, is called, over all processes.

    A call that a quota refuses raises `RateLimited`, consumes nothing, and does not reach the function. Redis decides,
    by its own clock, in one round trip; whoever goes on calling is refused in the process.

    Args:
        quota: such as ``"100/minute"``, ``"10/second; burst=20, 1000/hour"`` or `Quota`; or a function of the call's
            arguments that gives one, per plan or tenant say, or None for no limit.
        key: whose quota it is: a template such as ``"user:{user_id}"``, checked against the parameters here and now, or
            a function of the arguments that returns text. Functions with the same key share their quota. Without it,
            all calls of this function do.
        cost: units that a call costs, or a function of its arguments that says how many.
        wait: the longest pause to take until a call is admitted, instead of raising.
        on_failure: what to do if Redis cannot be asked: ``"open"`` calls the function, ``"closed"`` refuses,
            ``"local"`` counts in this process, with a fair share of the quota (see `Layer`'s `replicas`).
        budget: how long Redis may take before `on_failure` decides.
        shadow: only count and report what would be refused, and call the function.
        exempt: a function of the call's arguments that says whether this call is not limited.
        on_refused: what to call with the decision instead of raising; what it returns is returned.
        layer: the layer; without it, the default one at each call.
        unknown: refused, with the names of those that there are.

    Raises:
        ConfigurationError: when decorating: an option or the function cannot work; the message says what to change.

    Example:
        >>> from holdfast import Layer, RateLimited, rate_limited
        >>> @rate_limited("2/minute", key="user:{user_id}", layer=Layer("memory://limited-example"))
        ... def greet(user_id: int) -> str:
        ...     return f"hello {user_id}"
        >>> greet(42), greet(42), greet(7)
        ('hello 42', 'hello 42', 'hello 7')
        >>> try:
        ...     greet(42)
        ... except RateLimited as error:
        ...     print(error.decision.refused_by, error.decision.remaining)
        ('per-minute',) 0
    """
    refuse_unknown("rate_limited", unknown, LimitOptions.__optional_keys__, beside=["layer"])
    return limit(
        engine_of(layer),
        quota,
        key=key,
        cost=cost,
        wait=wait,
        on_failure=on_failure,
        budget=budget,
        shadow=shadow,
        exempt=exempt,
        on_refused=on_refused,
    )


def locked(
    key: KeyOption,
    *,
    lease: Duration = 30,
    wait: Duration | None = None,
    on_busy: OnBusy = "raise",
    fair: bool = False,
    reentrant: bool = False,
    max_lifetime: Duration | None = None,
    cancel_on_loss: bool = False,
    min_replicas: int = 0,
    layer: Layer | None = None,
    **unknown: Never,
) -> Callable[[F], F]:
    """Run a function, plain or async, one call at a time over all processes.

    It holds a lock while it runs, which is renewed; the lock of a process that died is free when its lease has run out.
    `current_lock` returns it inside of the function. If the lock was lost meanwhile, the call raises `LockLost` at its
    end: another process may have run beside it.

    Args:
        key: what is locked: a template such as ``"invoice:{invoice_id}"``, checked against the parameters here and now,
            a name, or a function of the arguments that returns text. It is the lock that ``layer.lock`` has under that
            name.
        lease: how long the lock of a process that died stays taken.
        wait: how long a call waits for it; None is for ever, 0 not at all.
        on_busy: what to do when others hold it for longer than that: ``"raise"`` `LockNotAcquired`, ``"skip"`` the
            call and return None, or a function to call instead, with the same arguments, `self` included.
        fair: whether calls get the lock in the order in which they came, over all processes.
        reentrant: whether the function may call itself, or another with the same lock, in the same task or thread.
        max_lifetime: after which time the lock is renewed no more, so that code that hangs does not hold it for ever.
        cancel_on_loss: whether to cancel an async function when its lock is lost.
        min_replicas: how many replicas must have the lock before it counts as held.
        layer: the layer; without it, the default one at each call.
        unknown: refused, with the names of those that there are.

    Raises:
        ConfigurationError: when decorating: an option or the function cannot work; the message says what to change.

    Example:
        >>> from holdfast import Layer, locked
        >>> @locked("invoice:{invoice_id}", wait=5, layer=Layer("memory://locked-example"))
        ... def bill(invoice_id: int) -> str:
        ...     return f"billed {invoice_id}"
        >>> bill(7)
        'billed 7'
    """
    refuse_unknown("locked", unknown, LockedOptions.__optional_keys__, beside=["layer"])
    return lock_calls(
        engine_of(layer),
        key,
        lease=lease,
        wait=wait,
        on_busy=on_busy,
        fair=fair,
        reentrant=reentrant,
        max_lifetime=max_lifetime,
        cancel_on_loss=cancel_on_loss,
        min_replicas=min_replicas,
    )


def idempotent(
    key: KeyOption,
    *,
    ttl: Duration = "24h",
    lease: Duration = "30s",
    wait: Duration | None = None,
    fingerprint: KeyOption = None,
    serializer: str | None = None,
    on_failure: OnIdempotencyFailure = "raise",
    layer: Layer | None = None,
    **unknown: Never,
) -> Callable[[F], F]:
    """Call a function, plain or async, once for each key, over all processes; later calls get its first result.

    For what must not happen twice, however often it is asked for: a payment, a message that a queue delivers again.
    What the function raises is passed on, and frees its key: the next call runs it. The key of a process that died is
    free when its lease has run out.

    That makes it rare that the function runs twice. It cannot rule it out, since a process may stand still for longer
    than its lease, or die after the work and before its result is stored. Where that would do harm, hand
    ``current_idempotency().fencing_token`` to whatever does the work.

    A result that cannot be stored is returned all the same, since the function has run; later calls raise
    `IdempotencyError`.

    Args:
        key: what is done once: a template such as ``"order:{order_id}"``, checked against the parameters here and now,
            or a function of the arguments that returns text. Two functions must not share a key.
        ttl: how long a result is kept.
        lease: how long the key of a process that died stays taken.
        wait: how long a call waits for one with its key that still runs before it raises `AlreadyRunning`; None is as
            long as a lease.
        fingerprint: what has to be the same for calls with one key, a template such as ``"{amount}"`` or a function of
            the arguments; with another one a call raises `KeyReused`. None does not look.
        serializer: how results are stored; the layer's, unless given. The return annotation says what to decode to.
        on_failure: while Redis cannot be asked, ``"raise"`` `BackendError`, or ``"run"`` the function.
        layer: the layer; without it, the default one at each call.
        unknown: refused, with the names of those that there are.

    Raises:
        ConfigurationError: when decorating: an option or the function cannot work; the message says what to change.

    Example:
        >>> from holdfast import Layer, idempotent
        >>> @idempotent("order:{order_id}", fingerprint="{amount}", layer=Layer("memory://idempotent-example"))
        ... def pay(order_id: int, amount: int) -> str:
        ...     print("paying")
        ...     return f"paid {amount}"
        >>> pay(7, 100)
        paying
        'paid 100'
        >>> pay(7, 100)
        'paid 100'
    """
    refuse_unknown("idempotent", unknown, IdempotentOptions.__optional_keys__, beside=["layer"])
    return run_once(
        engine_of(layer),
        key,
        ttl=ttl,
        lease=lease,
        wait=wait,
        fingerprint=fingerprint,
        serializer=serializer,
        on_failure=on_failure,
    )

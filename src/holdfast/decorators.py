"""The decorators that users type, on the layer that they name or on the default one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from holdfast.engine import KeyOption
from holdfast.layer import Layer, decorate, engine_of
from holdfast.policy.lifetime import TimeToLive
from holdfast.typing import Duration

F = TypeVar("F", bound=Callable[..., Any])


def cached(
    ttl: TimeToLive,
    *,
    key: KeyOption = None,
    key_builder: str | None = None,
    serializer: str | None = None,
    compression: str | None = None,
    jitter: float = 0.0,
    condition: Callable[[Any], bool] | None = None,
    cache_errors: type[Exception] | tuple[type[Exception], ...] = (),
    wait: Duration = "30s",
    version: str = "",
    layer: Layer | None = None,
) -> Callable[[F], F]:
    """Keep the results of a function, plain or async, in Redis.

    A call that finds an entry costs one GET. One that does not calls the function and stores what it returned;
    concurrent calls with the same key in this process share that one load. Every caller gets a copy of its own. While
    Redis cannot be used, calls go to the function (unless the layer says ``on_failure="raise"``).

    Put it on the outside of ``@classmethod`` and ``@staticmethod``, or directly on the function; both work. Type
    checkers see the function unchanged. `entries` reaches what is stored.

    Args:
        ttl: how long a result is kept: seconds, a `timedelta`, text such as ``"5m"``, or a function of the result that
            gives one of these (0: do not store).
        key: a template such as ``"product:{product_id}"``, checked against the parameters here and now, or a function
            of the arguments that returns text. Without it `key_builder` names the entry.
        key_builder: ``"by-arguments"`` (module, function and arguments), ``"by-request"``, or one that you registered.
        serializer: how values become bytes; the layer's, unless given.
        compression: the layer's, unless given.
        jitter: 0.2 lets each entry live up to 20 % longer, so that many do not expire at once.
        condition: a function of the result; where it returns false, the result is not stored.
        cache_errors: exceptions that are stored and raised again like results, as long as `ttl` says; a function there
            gets the exception.
        wait: how long a call waits for another's load before it loads for itself.
        version: change it when the meaning of the results changes: old entries are not read any more.
        layer: the layer; without it, the default one at each call.

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
    return decorate(
        engine_of(layer),
        ttl,
        key=key,
        key_builder=key_builder,
        serializer=serializer,
        compression=compression,
        jitter=jitter,
        condition=condition,
        cache_errors=cache_errors,
        wait=wait,
        version=version,
    )

"""What a user says about the entries of one function, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias, TypedDict, Unpack, get_args

from holdfast._calls import is_async
from holdfast._current import checked_tags
from holdfast._durations import seconds
from holdfast.core.plan import OnWaitTimeout
from holdfast.errors import ConfigurationError
from holdfast.policy.freshness import Leeway
from holdfast.policy.lifetime import Lifetime, TimeToLive
from holdfast.typing import Duration

OnFailure: TypeAlias = Literal["bypass", "raise"]
KeyOption: TypeAlias = str | Callable[..., str] | None
"""A template, a function of the call's arguments, or nothing."""
TagsOption: TypeAlias = Iterable[str] | Callable[[Any], Iterable[str]]
"""Templates, or a function of the result."""
_EXAMPLES: Final = {"serializer": "json", "compression": "zlib", "key_builder": "by-arguments"}
"""A name for each option that takes one."""


class SharedOptions(TypedDict, total=False):
    """What `cached`, `cached_many` and `get_or_load` have in common; `cached` explains each."""

    tags: TagsOption
    serializer: str | None
    compression: str | None
    jitter: float
    condition: Callable[[Any], bool] | None
    grace: Duration
    stale_if_error: Duration
    beta: float
    lease: Duration
    wait: Duration
    on_wait_timeout: OnWaitTimeout
    soft_timeout: Duration | None
    hard_timeout: Duration | None
    near: Duration | None


class CacheOptions(SharedOptions, total=False):
    """What `cached` and `get_or_load` have in common; `cached` explains each."""

    cache_errors: type[Exception] | tuple[type[Exception], ...]


class ManyOptions(SharedOptions, total=False):
    """The options of `cached_many` beside `key` and `missing_ttl`; `cached` explains each."""

    version: str


class CachedOptions(CacheOptions, total=False):
    """The options of `cached`, which explains each."""

    key: KeyOption
    key_builder: str | None
    version: str


@dataclass(frozen=True, slots=True)
class Options:
    """What a user said about the entries of one function, checked."""

    keeps: bool
    lifetime: Lifetime
    leeway: Leeway
    beta: float
    lease: float
    wait: float
    on_wait_timeout: OnWaitTimeout
    soft_timeout: float | None
    hard_timeout: float | None
    near: float | None
    condition: Callable[[Any], bool] | None
    errors: tuple[type[Exception], ...]
    tags: tuple[str, ...]
    tags_of: Callable[[Any], Iterable[str]] | None
    serializer: str | None
    compression: str | None
    key: KeyOption
    key_builder: str | None
    version: str
    many: bool = False
    """Whether there may be entries that say that there is no value."""
    missing: Lifetime | None = None
    """How long these are kept; None: there are none."""

    @classmethod
    def of_many(
        cls, ttl: TimeToLive, *, key: str, missing_ttl: Duration | None, **options: Unpack[ManyOptions]
    ) -> Options:
        """Check the options of a function that loads many values at once.

        Raises:
            ConfigurationError: one of them cannot work; the message names it.
        """
        if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
            msg = f"key= of @cached_many must be a template, such as 'product:{{product_id}}', not {type(key).__name__}"
            raise ConfigurationError(msg)
        if "cache_errors" in options:
            msg = (
                "@cached_many has no cache_errors=: an error belongs to a call with many ids, not to one of them; "
                "leave out of the result what does not exist, and give missing_ttl="
            )
            raise ConfigurationError(msg)
        if "key_builder" in options:
            msg = "@cached_many has no key_builder=: key= has to say where one id goes, as in 'product:{product_id}'"
            raise ConfigurationError(msg)
        refuse_unknown("cached_many", options, ManyOptions.__optional_keys__)
        missing = None if missing_ttl is None else Lifetime(seconds(missing_ttl, "missing_ttl"), 0.0)
        one = cls.of(ttl, key=key, **options)
        if missing is not None:
            missing = replace(missing, jitter=one.lifetime.jitter)
        return replace(one, many=True, missing=missing)

    @classmethod
    def of(
        cls,
        ttl: TimeToLive | None,
        *,
        key: KeyOption = None,
        key_builder: str | None = None,
        tags: TagsOption = (),
        version: str = "",
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
        keeps: bool = True,
    ) -> Options:
        """Check options as users type them.

        Raises:
            ConfigurationError: one of them cannot work; the message names it.
        """
        check_names(optional=True, serializer=serializer, compression=compression, key_builder=key_builder)
        _check_texts(key, key_builder, version, on_wait_timeout, condition)
        _refuse_async(ttl=ttl, condition=condition, tags=tags)
        leeway = Leeway.of(grace, stale_if_error)
        if soft_timeout is not None and not leeway.extra:
            msg = "soft_timeout= returns a stale value, and none is kept: give grace= or stale_if_error=, too"
            raise ConfigurationError(msg)
        if not keeps:
            _refuse_what_needs_an_entry(
                tags=tags, condition=condition, cache_errors=cache_errors, grace=grace, stale_if_error=stale_if_error,
                soft_timeout=soft_timeout, near=near, jitter=jitter,
            )  # fmt: skip
        return cls(
            keeps,
            Lifetime.of(ttl if keeps else 1, jitter),  # type: ignore[arg-type]  # None is refused there
            leeway,
            _beta(beta) if keeps else 0.0,
            seconds(lease, "lease"),
            seconds(wait, "wait", zero=True),
            on_wait_timeout,
            None if soft_timeout is None else seconds(soft_timeout, "soft_timeout", zero=True),
            None if hard_timeout is None else seconds(hard_timeout, "hard_timeout"),
            None if near is None else seconds(near, "near", zero=True),
            condition,
            _error_classes(cache_errors),
            () if callable(tags) else checked_tags(tags, "tags="),
            tags if callable(tags) else None,
            serializer,
            compression,
            key,
            key_builder,
            version,
        )


def refuse_unknown(
    verb: str, given: Mapping[str, object], known: frozenset[str], *, beside: Iterable[str] = ()
) -> None:
    """Refuse options that a verb does not have.

    Args:
        verb: what the user called, for the message.
        given: the options.
        known: the names of those that there are.
        beside: names of what the verb takes as well, which are not among `given`; for the message.

    Raises:
        ConfigurationError: one is not known; the message has those that are.
    """
    unknown = [name for name in given if name not in known]
    if unknown:
        there = known.union(beside) - {unknown[0]}
        msg = f"{verb} has no option {unknown[0]!r}; it has {', '.join(sorted(there))}"
        raise ConfigurationError(msg)


def check_names(*, optional: bool = False, **names: object) -> None:
    """Refuse what is not the name of something that a layer knows by name.

    Args:
        optional: whether None will do.
        names: what was given for each option.

    Raises:
        ConfigurationError: one is not text; the message names the option.
    """
    for option, name in names.items():
        if not isinstance(name, str) and not (optional and name is None):
            msg = f"{option}= must be a name, such as {_EXAMPLES[option]!r}, not {type(name).__name__}"
            raise ConfigurationError(msg)


def _check_texts(
    key: KeyOption, key_builder: str | None, version: object, on_wait_timeout: str, condition: object
) -> None:
    if key is not None and key_builder is not None:
        msg = f"key={key!r} and key_builder={key_builder!r} exclude each other: give one of them"
        raise ConfigurationError(msg)
    if condition is not None and not callable(condition):
        msg = "condition= must be a function of the result that says whether to store it"
        raise ConfigurationError(msg)
    if not isinstance(version, str):
        msg = f"version must be text, not {type(version).__name__}: write version='2'"
        raise ConfigurationError(msg)
    if on_wait_timeout not in get_args(OnWaitTimeout):
        msg = f"on_wait_timeout={on_wait_timeout!r} must be 'load', 'stale' or 'raise'"
        raise ConfigurationError(msg)


def _refuse_async(**functions: object) -> None:
    for name, function in functions.items():
        if callable(function) and is_async(function):
            msg = f"{name}= must be a plain function of the result: nobody would await what an async one returns"
            raise ConfigurationError(msg)


def _refuse_what_needs_an_entry(**given: object) -> None:
    for name, value in given.items():
        if value:
            msg = f"{name}= needs an entry, and without a ttl nothing is kept: give a ttl, or leave {name}= out"
            raise ConfigurationError(msg)


def _beta(value: float) -> float:
    # Callers are often untyped.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1000:  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"beta={value!r} must be a number from 0 (never refresh early) on; 1 is the usual one"
        raise ConfigurationError(msg)
    return float(value)


def _error_classes(given: type[Exception] | tuple[type[Exception], ...]) -> tuple[type[Exception], ...]:
    classes = given if isinstance(given, tuple) else (given,)
    for each in classes:
        if not (isinstance(each, type) and issubclass(each, Exception)):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
            msg = f"cache_errors={each!r} must be exception classes, like cache_errors=(NotFound,)"
            raise ConfigurationError(msg)
    return classes

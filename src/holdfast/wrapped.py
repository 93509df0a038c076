"""What decorators return: functions that look like the ones they wrap, to `inspect`, frameworks and type checkers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol, cast

import wrapt

from holdfast.errors import ConfigurationError
from holdfast.key_binding import describe


class Answers(Protocol):
    """How a decorated function answers its calls."""

    is_async: bool

    def call(self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call of a plain function."""

    async def acall(
        self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Answer a call of an async function."""


def raw_function(
    function: Any,
    verb: str = "cache",
    example: str = "@cached(ttl=...)",
    instead: str = "return a list instead of yielding",
) -> Callable[..., Any]:
    """Return the function behind a classmethod or staticmethod.

    Args:
        function: what was decorated.
        verb: what the decorator does to a function, for messages.
        example: how the decorator is written.
        instead: what to do instead with a generator.

    Raises:
        ConfigurationError: there is none that could be decorated.
    """
    inner: Any = cast("Any", function).__func__ if isinstance(function, classmethod | staticmethod) else function
    if isinstance(inner, property):
        msg = f"cannot {verb} a property: put @property outside, above the decorator"
        raise ConfigurationError(msg)
    if not callable(inner) or isinstance(inner, type):
        what = f"class {describe(inner)}" if isinstance(inner, type) else f"value of type {type(inner).__name__}"
        msg = f"cannot {verb} a {what}: put {example}, with its parentheses, above a function or method"
        raise ConfigurationError(msg)
    if _yields(inner) or _yields(getattr(type(inner), "__call__", None)):  # noqa: B004 - the method itself
        msg = f"cannot {verb} the generator function {describe(inner)}: {instead}"
        raise ConfigurationError(msg)
    return cast("Callable[..., Any]", inner)


def _yields(function: Any) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


class BoundFunction(wrapt.BoundFunctionWrapper):  # type: ignore[type-arg]  # generic only in newer stubs
    """A decorated function as it comes from an instance or a class."""


class DecoratedFunction(wrapt.FunctionWrapper):  # type: ignore[type-arg]  # generic only in newer stubs
    """A function whose calls are answered by a recipe."""

    __bound_function_wrapper__ = BoundFunction

    def __init__(self, function: Any, recipe: Answers) -> None:
        answer = recipe.acall if recipe.is_async else recipe.call
        super().__init__(function, answer)  # pyright: ignore[reportUnknownMemberType] - generic only in newer stubs
        self._self_recipe = recipe
        self._self_answer = answer

    def __reduce_ex__(self, _: Any) -> str:
        """Pickle the function as others are: by its name in its module, where the decorated one stands."""
        return self.__qualname__

    def __copy__(self) -> DecoratedFunction:
        """Return the function itself, as copying a function does."""
        return self

    def __deepcopy__(self, _: Any) -> DecoratedFunction:
        """Return the function itself, as copying a function does."""
        return self

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Answer a call that came through no instance.

        wrapt's own would first look whether the function is bound, by an attribute that a plain function lacks; that
        takes longer than building the key. A function that is bound already has no `self` in its signature, so nobody
        misses the instance.
        """
        wrapped: Callable[..., Any] = self.__wrapped__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return self._self_answer(wrapped, None, args, kwargs)

"""`@cache_response`: what a view says to all caches between it and its users.

No framework is imported for it: a response is known by its class, if the module of that class has been imported.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Iterable
from inspect import Parameter, Signature
from typing import Any, Final, TypeVar, cast

from holdfast._calls import is_async
from holdfast.errors import ConfigurationError
from holdfast.key_binding import describe, signature_of
from holdfast.response_fields import Ages, ResponseFields
from holdfast.response_tags import compile_written
from holdfast.typing import Duration
from holdfast.wrapped import BoundFunction, DecoratedFunction

F = TypeVar("F", bound=Callable[..., Any])
_CLASSES: Final = (
    ("starlette.responses", "Response"),
    ("werkzeug.wrappers", "Response"),
    ("django.http.response", "HttpResponseBase"),
)


def cache_response(
    ttl: Duration | None = None,
    *,
    shared: Duration | None = None,
    private: bool = False,
    vary: Iterable[str] = (),
    tags: Iterable[str] = (),
    stale_while_revalidate: Duration | None = None,
    stale_if_error: Duration | None = None,
    etag: bool = False,
    no_store: bool = False,
) -> Callable[[F], F]:
    """Set the response fields about caching of a view, so that browsers, CDNs and `CacheMiddleware` agree.

    It is for views of Flask and Django and endpoints of Starlette and FastAPI, plain or async, whatever they return. It
    sets fields and does nothing else: what keeps responses is a cache in front, such as `CacheMiddleware`. Put it below
    the route, and above `@cached`, whose entries know no fields.

    A `Cache-Control` or `Expires` that the view sets itself stays as it is. Errors, raised or returned with a status
    from 400 on, get no fields. `Vary` and `Cache-Tag` are added to what is there.

    Args:
        ttl: how long the response is fresh (``max-age``), in whole seconds; 0: ask again each time.
        shared: the same for caches that many users share (``s-maxage``), where it differs.
        private: whether the response is one user's, for the browser alone. Without it caches may give it to everybody,
            but store none that answers a request with `Authorization`, unless there is a `shared`.
        vary: request fields on which the response depends, such as ``["Accept-Language"]``.
        tags: templates such as ``["product:{product_id}"]``, checked against the parameters here and now, for
            ``layer.cache.invalidate_tags`` and for CDNs that know `Cache-Tag`. Commas, spaces, percent signs and all
            that is not ASCII are percent-encoded in the field; ``invalidate_tags`` takes the text as it was.
        stale_while_revalidate: how long after that a cache may still use it, while it asks again behind.
        stale_if_error: how long after that a cache may use it when the view fails.
        etag: whether to set a strong ETag, a digest of the body, where the body is known here: all of Flask and Django
            but streams, and `Response` objects of Starlette and FastAPI with a body. For other results of FastAPI,
            and for streams, use ``CacheMiddleware(etag=True)``.
        no_store: forbid all caches to keep it.

    Raises:
        ConfigurationError: when decorating: options that cannot work, alone or together, or a template that does not
            fit; the message says what to change.

    Example:
        >>> from flask import Flask
        >>> app = Flask("shop")
        >>> @app.get("/products/<int:product_id>")
        ... @cache_response("5m", tags=["product:{product_id}"])
        ... def show_product(product_id):
        ...     return {"id": product_id}
        >>> response = app.test_client().get("/products/7")
        >>> response.headers["Cache-Control"], response.headers["Cache-Tag"]
        ('max-age=300', 'product:7')
    """
    ages = Ages(ttl, shared, stale_while_revalidate, stale_if_error)
    fields = ResponseFields.of(ages, private=private, vary=vary, tags=tags, etag=etag, no_store=no_store)

    def wrap(function: Any) -> Any:
        return ResponseFunction(function, _Recipe(function, fields))

    return wrap


class _Recipe:
    """How the responses of one view get their fields."""

    def __init__(self, function: Any, fields: ResponseFields) -> None:
        self.function = _view(function)
        self.is_async = is_async(function)
        self._binds = inspect.isfunction(function) or isinstance(function, classmethod)
        self._fields = fields
        self._tags_of = [compile_written(self.function, tag) for tag in fields.tags]
        self._asks: tuple[Signature, str, bool] | None = None

    @property
    def signature(self) -> Signature:
        """Return the view's parameters, with one that asks FastAPI for the response whose fields it takes over.

        It is worked out when somebody asks, so that Starlette is imported for those who inspect only.
        """
        return self._asking()[0]

    def _asking(self) -> tuple[Signature, str, bool]:
        """Return the signature, the name of the parameter for the response, and whether it is the view's own."""
        if self._asks is None:
            signature = signature_of(self.function)
            name = _own_parameter(self.function, signature)
            self._asks = (signature, name, True) if name else (*_with_response(signature), False)
        return self._asks

    def call(self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call of a plain view."""
        taken_over = self._take_out(kwargs)
        return self._finish(wrapped(*args, **kwargs), taken_over, instance, args, kwargs)

    async def acall(
        self, wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Answer a call of an async view."""
        taken_over = self._take_out(kwargs)
        return self._finish(await wrapped(*args, **kwargs), taken_over, instance, args, kwargs)

    def _take_out(self, kwargs: dict[str, Any]) -> Any:
        """Return the response that FastAPI passes; a view that did not ask for it does not get it."""
        if self._asks is None:  # nobody has inspected the function
            return None
        _, name, own = self._asks
        return kwargs.get(name) if own else kwargs.pop(name, None)

    def _finish(
        self, result: Any, taken_over: Any, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        response = result
        if not _is_response(result):
            flask = None if taken_over is not None else sys.modules.get("flask")
            if flask is not None and flask.has_request_context():
                result = response = flask.make_response(result)
            else:
                response = taken_over
        if response is not None:
            given = (instance, *args) if instance is not None and self._binds else args
            tags = [tag_of(*given, **kwargs) for tag_of in self._tags_of]
            self._fields.set_on(response, list(filter(None, tags)), whole=response is result)
        return result


class BoundResponseFunction(BoundFunction):
    """A view as it comes from an instance or a class."""

    @property
    def __func__(self) -> Any:
        """Return what was bound, for those who read the signature of a method there."""
        return self._self_parent

    @property
    def __signature__(self) -> Signature:
        """Return the signature of what was bound: a staticmethod, as no method is asked for it."""
        return cast("Signature", self._self_parent.__signature__)


class ResponseFunction(DecoratedFunction):
    """A view whose responses get fields."""

    __bound_function_wrapper__ = BoundResponseFunction
    _self_recipe: _Recipe

    @property
    def __signature__(self) -> Signature:
        """Return the view's parameters and one for FastAPI."""
        return self._self_recipe.signature


def _view(function: object) -> Callable[..., Any]:
    """Return the function behind a classmethod or staticmethod. Unlike elsewhere, it may be a generator function.

    Raises:
        ConfigurationError: there is none that could be decorated.
    """
    inner: Any = cast("Any", function).__func__ if isinstance(function, classmethod | staticmethod) else function
    if not callable(inner) or isinstance(inner, type):
        what = f"the class {describe(inner)}" if isinstance(inner, type) else f"a {type(inner).__name__}"
        msg = f"cannot set the fields of {what}: put @cache_response('5m'), with its parentheses, above a view function"
        raise ConfigurationError(msg)
    return cast("Callable[..., Any]", inner)


def _is_response(result: Any) -> bool:
    classes = (getattr(sys.modules.get(module), name, None) for module, name in _CLASSES)
    return any(isinstance(result, each) for each in classes if each is not None)


def _own_parameter(function: Callable[..., Any], signature: Signature) -> str:
    """Return the view's own parameter for the response; FastAPI fills one only, so there must not be another."""
    from starlette.responses import Response

    try:
        resolved = inspect.signature(function, eval_str=True)
    except Exception:  # whatever evaluating the annotations raises
        resolved = signature
    for name, parameter in resolved.parameters.items():
        kind = parameter.annotation
        if typing.get_origin(kind) is typing.Annotated:
            kind = typing.get_args(kind)[0]
        if (isinstance(kind, type) and issubclass(kind, Response)) or kind == "Response":
            return name
    return ""


def _with_response(signature: Signature) -> tuple[Signature, str]:
    from starlette.responses import Response

    name = "response"
    while name in signature.parameters:
        name += "_"
    # With a default, for decorators above that bind a call of Flask or Django to the signature.
    asked = Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Response)
    parameters = list(signature.parameters.values())
    at = next((i for i, each in enumerate(parameters) if each.kind is Parameter.VAR_KEYWORD), len(parameters))
    return signature.replace(parameters=[*parameters[:at], asked, *parameters[at:]]), name

"""The builder by-request, for views: the URL that was asked for, whatever framework asked.

Requests are known by their attributes; no framework is imported. The name leaves out headers, cookies, the body and
the user: cache only what does not depend on them.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping
from inspect import Signature
from typing import Any, Final
from urllib.parse import parse_qsl

from holdfast.errors import ConfigurationError
from holdfast.key_binding import describe
from holdfast.policy.key_stable import type_name
from holdfast.policy.key_text import escape, protect

_CLASSES: Final = ("Request", "HttpRequest")
_quoted: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_class_in_text: Final = re.compile(rf"(?<!\w)(?:{'|'.join(_CLASSES)})(?!\w)")


def by_request(function: Callable[..., Any], signature: Signature, /) -> Callable[[Mapping[str, Any]], str]:
    """Name calls by the view and ``METHOD:host:path:query``, with the query's parameters sorted by name.

    Repeated parameters keep their order and blank ones count. HEAD is not GET: its answer has no body to serve. The
    other parameters of a view come from the path, so they are not looked at again.

    Raises:
        ConfigurationError: no parameter is annotated as a request or called `request`.
    """
    name = _request_parameter(function, signature)
    prefix = protect(describe(function))

    def build(arguments: Mapping[str, Any]) -> str:
        method, host, path, query = _parts(arguments[name], name)
        pairs = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
        pairs.sort(key=lambda pair: pair[0])
        texts = ",".join(f"{escape(key)}={escape(value)}" for key, value in pairs)
        return f"{prefix}:{escape(method)}:{escape(host.lower())}:{escape(path)}:{texts}"

    return build


def _request_parameter(function: Callable[..., Any], signature: Signature) -> str:
    annotated = [name for name, parameter in signature.parameters.items() if _is_request(parameter.annotation)]
    if annotated and "request" not in annotated:
        return annotated[0]
    if "request" in signature.parameters:
        return "request"
    msg = (
        f"key_builder='by-request' needs a request, but {describe(function)} has no parameter called 'request' or "
        f"annotated as {' or '.join(_CLASSES)}: add one, or give key="
    )
    raise ConfigurationError(msg)


def _is_request(annotation: Any) -> bool:
    if isinstance(annotation, str):
        # What stands in quotes within it is the metadata of an Annotated, such as a header's name.
        return _class_in_text.search(_quoted.sub("", annotation.strip("'\""))) is not None
    if isinstance(annotation, typing.ForwardRef):
        return _is_request(annotation.__forward_arg__)
    if isinstance(annotation, type):
        return any(base.__name__ in _CLASSES for base in annotation.__mro__)
    parts = (typing.get_origin(annotation), *typing.get_args(annotation))
    return any(_is_request(part) for part in parts if part is not None and not isinstance(part, str))


def _parts(request: Any, name: str) -> tuple[str, str, str, str]:
    """Return the method, host, path and query of a request of Django, Starlette or werkzeug."""
    try:
        if hasattr(request, "get_host"):
            return request.method, request.get_host(), request.path, request.META.get("QUERY_STRING", "")
        if hasattr(request.url, "netloc"):
            return request.method, request.url.netloc, request.url.path, request.url.query
        path = request.root_path.rstrip("/") + request.path  # werkzeug's path starts where the application is mounted
        return request.method, request.host, path, request.query_string.decode("latin-1")
    except AttributeError as error:
        raise _no_request(request, name) from error


def _no_request(value: object, name: str) -> ConfigurationError:
    msg = f"{name!r} is a {type_name(type(value))}, not a request of Starlette, werkzeug or Django: give key="
    return ConfigurationError(msg)

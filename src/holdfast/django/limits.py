"""Limits as a middleware of Django."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.core.exceptions import ImproperlyConfigured
from django.http.response import HttpResponseBase

from holdfast._calls import is_async
from holdfast.call_names import value_of
from holdfast.django.layers import part_options, project_layer
from holdfast.django.middleware import TwoColoured
from holdfast.django.requests import DjangoRequest, find_route, templates_of
from holdfast.django.responses import AsyncEnding, Ending, hold, pairs_of, response_of
from holdfast.errors import ConfigurationError
from holdfast.policy.http.answering import Answer
from holdfast.policy.http.fields import Pairs
from holdfast.web.edge_limits import EdgeLimits
from holdfast.web.limit_admission import Admission
from holdfast.web.limit_answers import tells_of_limits
from holdfast.web.limit_matching import refuse_async
from holdfast.web.limit_options import RateLimitOptions


class RateLimitMiddleware(TwoColoured):
    """Limits what clients may ask of a Django project, by ``settings.HOLDFAST["limits"]``.

    The options are those of `holdfast.asgi.RateLimitMiddleware`, but `messages`. Their functions get a `WebRequest`,
    whose `raw` is Django's request, and its `route` is what Django calls so: ``"items/<int:pk>/"``. `on_refused` may
    return an `HttpResponse`. The decision about a request is ``request.holdfast_limit``.

    Put it at the top of MIDDLEWARE, or right behind the middleware that a function of the options needs, such as that
    for ``request.user``.
    """

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        super().__init__(get_response)
        options = part_options("limits")
        if options.get("on_refused") is not None:
            options["on_refused"] = _plain(options["on_refused"])
        self._layer = project_layer()
        try:
            self._limits = EdgeLimits(self._layer, cast("RateLimitOptions", options), finds_routes=True)
            plan = self._limits.plan
            plan.refuse_messages()
            if not self.is_async:
                refuse_async(**plan.functions)
        except ConfigurationError as error:
            msg = f"HOLDFAST['limits']: {error}"
            raise ImproperlyConfigured(msg) from error
        self._find_route = plan.route or find_route
        self._asks_routes = plan.route is None and plan.needs_route
        """Whether it is still to be seen that the project has the routes that rules are about."""

    def respond(self, request: Any) -> Any:
        """Answer a request that is admitted, and refuse any other."""
        admission = self._limits.admit(self._request_of(request))
        if admission is None:
            return self.get_response(request)
        if isinstance(admission, Answer):
            return response_of(admission)
        request.holdfast_limit = admission.decision
        try:
            response = self.get_response(request)
        except BaseException:
            admission.finish()
            raise
        _add_fields(response, admission)
        if admission.holds:
            told = response.status_code, pairs_of(response)
            ending = Ending(lambda size: admission.finish(*_told(*told, size)))
            if response.streaming:
                hold(response, ending)
            else:
                ending.size = len(response.content)
                ending.end(complete=True)
        return response

    def _request_of(self, request: Any) -> DjangoRequest:
        if self._asks_routes:
            self._asks_routes = False
            self._limits.compare_routes(templates_of(request))
        return DjangoRequest(request, self._find_route)

    async def arespond(self, request: Any) -> Any:
        """Do what `respond` does, for an event loop."""
        admission = await self._limits.aadmit(self._request_of(request))
        if admission is None:
            return await self.get_response(request)
        if isinstance(admission, Answer):
            return response_of(admission)
        request.holdfast_limit = admission.decision
        try:
            response = await self.get_response(request)
        except BaseException:
            await admission.afinish()
            raise
        _add_fields(response, admission)
        if admission.holds:
            told = response.status_code, pairs_of(response)
            ending = AsyncEnding(
                lambda size: admission.afinish(*_told(*told, size)), self._layer.engine.asyncio.afterwards
            )
            if response.streaming:
                hold(response, ending)
            else:
                ending.size = len(response.content)
                await ending.aend(complete=True)
        return response


def _add_fields(response: Any, admission: Admission) -> None:
    """Add the fields that tell of a decision, unless the project has set such fields itself."""
    if not tells_of_limits(name.lower() for name in response.headers):
        for name, value in admission.fields():
            response[name] = value


def _told(status: int, pairs: Pairs, size: int | None) -> tuple[Any, ...]:
    """Return what is charged by; nothing where the response was not complete, so that the estimate stays."""
    return () if size is None else (status, pairs, size)


def _plain(on_refused: Any) -> Callable[..., Any]:
    """Return a function of the user's whose responses of Django are (status, headers, body)."""

    def plain(given: Any) -> Any:
        if isinstance(given, HttpResponseBase):
            return given.status_code, pairs_of(given), getattr(given, "content", b"")
        return given

    async def ask(request: Any, decision: Any) -> Any:
        return plain(await value_of(on_refused(request, decision)))

    def call(request: Any, decision: Any) -> Any:
        return plain(on_refused(request, decision))

    return ask if is_async(on_refused) else call

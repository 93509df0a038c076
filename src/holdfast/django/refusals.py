"""What holdfast refuses inside of views, as responses."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import Any

from django.http import HttpResponse

from holdfast.django.middleware import TwoColoured
from holdfast.django.responses import response_of
from holdfast.web.refusals import REFUSALS, refusal_answer


class RefusalMiddleware(TwoColoured):
    """Answers for views that raise `RateLimited` (429, or 503 without Redis) or `LockNotAcquired` (409).

    So views may be decorated with `holdfast.rate_limited` and `holdfast.locked`, or use a lock inside, and say nothing
    of what happens when they are refused. Transactions are rolled back as for any other exception.
    """

    def process_exception(self, request: Any, exception: BaseException) -> HttpResponse | None:
        """Return the response for what a view has raised, or None for what is not ours."""
        if isinstance(exception, REFUSALS):
            return response_of(refusal_answer(exception, bodiless=request.method == "HEAD"))
        return None

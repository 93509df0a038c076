"""Why we fail what the suite calls required, where we know: each reason with what its failure looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of the suite through one of our middlewares."""

    side: str
    """``ASGI`` or ``WSGI``."""
    title: str
    """The options, in words."""
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that did not pass, with what the suite said and the last status that its client got."""

    case: str
    told: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a test fails, and what its failure looks like if that is why."""

    text: str
    told: str
    """What the suite's words hold."""
    statuses: range = range(100, 1000)
    """Among which the last status is."""
    sides: tuple[str, ...] = ("ASGI", "WSGI")
    set_cookie: tuple[str, ...] = ("public", "store")
    """With which values of this option it fails."""

    def holds(self, failure: Failure, trial: Trial) -> bool:
        """Tell whether a failure in a trial is the one that is meant."""
        return (
            self.told in failure.told
            and failure.status in self.statuses
            and trial.side in self.sides
            and trial.options.get("set_cookie", "public") in self.set_cookie
        )


_CACHED: Final = "Response 2 comes from cache"
_AGE: Final = Reason(
    "the first member of Age counts, and a value that is no number is ignored, so the response is fresh (RFC 9111, "
    "5.1; the test follows a draft of it)",
    _CACHED,
    range(200, 300),
)
_CLOSED: Final = Reason(
    "the origin closed the connection, nothing stale may be served, and the client got a 5xx, as it should; the suite "
    "takes each response for cached that has no number of the origin's",
    _CACHED,
    range(500, 600),
)
_COOKIE: Final = (
    "by default a response with Set-Cookie is stored only if it says that it is for all; set_cookie='store' stores it"
)
REASONS: Final[dict[str, Reason]] = {
    "age-parse-nonnumeric": _AGE,
    "age-parse-negative": _AGE,
    "age-parse-float": _AGE,
    "age-parse-prefix-twoline": _AGE,
    "age-parse-dup-0": _AGE,
    "age-parse-dup-0-twoline": _AGE,
    "age-parse-dup-old": _AGE,
    "age-parse-parameter": _AGE,
    "age-parse-numeric-parameter": _AGE,
    "stale-close-must-revalidate": _CLOSED,
    "stale-close-proxy-revalidate": _CLOSED,
    "stale-close-no-cache": _CLOSED,
    "stale-close-s-maxage=2": _CLOSED,
    "headers-store-Set-Cookie": Reason(_COOKIE, "Response 2 does not come from cache", set_cookie=("public",)),
    "304-etag-update-response-Set-Cookie": Reason(_COOKIE, "", range(599, 1000), set_cookie=("public",)),
    "304-etag-update-response-ETag": Reason(
        "the 304 has another ETag than the one that was asked about, and such a 304 must not update what is stored "
        "(RFC 9111, 4.3.4); the app is asked again, which the suite takes for a retry",
        "retry",
    ),
    "headers-store-Transfer-Encoding": Reason(
        "the proxy, not the cache: h11 refuses a response with a transfer coding that it does not know",
        "Response 1 status is 500",
        range(500, 501),
        sides=("ASGI",),
    ),
}
"""By test. A failure that does not look as its reason says is as unknown as one that is not here."""


def explain(failure: Failure, trial: Trial) -> str | None:
    """Return why a required test fails in a trial, or None if that is not known."""
    reason = REASONS.get(failure.case)
    return reason.text if reason is not None and reason.holds(failure, trial) else None

"""The mistakes that the specification of the cache warns of, each planted in one line or a few.

They show that the model would notice. A mistake in a script is another text for it, one in the core a changed method,
and one in the client a changed port of the world.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import pytest

from holdfast.scripts import load
from support.model import bugs_core as core
from support.model import bugs_port as port
from support.model import bugs_tags as tags

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Bug:
    """One mistake, and where it shows."""

    name: str
    promise: str
    """The promise that it breaks."""
    scenario: str
    edits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By script: what is replaced in its text, and by what."""
    plant: Plant | None = None
    many: str = ""
    """A scenario with calls for many keys in which it shows as well."""

    def texts(self) -> dict[str, str]:
        """Return the scripts with the mistake."""
        texts: dict[str, str] = {}
        for name, (right, wrong) in self.edits.items():
            source = load(name).source
            assert right in source, f"{self.name}: {name}.lua has changed, and the mistake does not fit any more"
            texts[name] = source.replace(right, wrong)
        return texts


_NO_TIME: Final = ("string.format('%010d%06d', time[1], time[2])", "string.rep('0', 16)")
_MINTED: Final = "local fresh = ARGV[1] .. string.format('%010d%06d', time[1], time[2])"
_COUNTED: Final = """local was = redis.call('GET', KEYS[1])
local fresh = string.format('%032d', (was and tonumber(string.sub(was, 1, 32)) or 0) + 1)"""
_KEY: Final = "key: two processes"

BUGS: Final = (
    Bug("invalidate_value_only", "P1", _KEY, {"invalidate": ("KEYS[1], KEYS[2])", "KEYS[1])")}),
    Bug("invalidate_value_then_lease", "P1", _KEY, plant=port.two_unlinks),
    Bug("fill_no_compare", "P1", _KEY, {"fill": ("redis.call('GET', KEYS[2]) == ARGV[1]", "true")}),
    Bug("fill_if_free", "P1", _KEY,
        {"fill": ("redis.call('GET', KEYS[2]) == ARGV[1]", "(redis.call('GET', KEYS[2]) or ARGV[1]) == ARGV[1]")}),
    Bug("renew_recreates", "P1", "key: slow loads",
        {"renew": ("return 0", "return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') and 1 or 0")}),
    Bug("token_per_process", "P1", "key: threads and loops", {"acquire": _NO_TIME}, port.one_token_a_process),
    Bug("resend_same_token", "P1", "key: sent twice", {"acquire": _NO_TIME}),
    Bug("refresh_without_lease", "P1", "stale: old", plant=core.refresh_without_lease),
    Bug("join_no_proof", "P1", _KEY, plant=core.join_no_proof, many="key: many"),
    Bug("join_after_fill_sent", "P1", _KEY, plant=core.join_after_fill_sent, many="key: many"),
    Bug("wake_payload_to_all", "P1", "key: waiting", {"fill": ("'done ' .. ARGV[1]", "'done ' .. ARGV[2]")},
        core.wake_payload_to_all),
    Bug("late_joiner_takes_read", "P1", "key: waiting", plant=core.late_joiner_takes_read, many="key: many"),
    Bug("coalesce_reads", "P1", _KEY, plant=port.shared_reads),
    Bug("acquire_no_nx", "P2", _KEY, {"acquire": ("if holder and", "if false and")}),
    Bug("abandon_no_compare", "P2", "key: failing",
        {"abandon": ("(holder == ARGV[1] or string.sub(holder, 1, 16) == ARGV[1])", "true")}),
    Bug("acquire_no_recheck", "P2b", _KEY, {"acquire": ("if left and", "if false and")}),
    Bug("set_keeps_lease", "P1", "key: set", {"put": ("redis.call('UNLINK', KEYS[2])", "")}),
    Bug("soft_creates_key", "P5", "stale: old", {"expire": ("if found == 1", "if true")}),
    Bug("sie_candidate_to_all", "P1", "stale: key, if error", plant=core.sie_candidate_to_all),
    Bug("stamp_after_load", "P1", "tag: two processes", plant=tags.stamp_after_load, many="tag: many"),
    Bug("tag_counter", "P1", "tag: lost", {"tag_versions": (_MINTED, _COUNTED), "tag_invalidate": (_MINTED, _COUNTED)}),
    Bug("missing_is_valid", "P1", "tag: lost", plant=tags.missing_is_valid),
    Bug("stale_ignores_tags", "P1", "stale: soft", plant=tags.stale_ignores_tags),
    Bug("tag_versions_remembered", "P1", "tag: two processes", plant=tags.tag_versions_remembered, many="tag: many"),
    Bug("tag_unlink_resend", "P1", "tag: sent twice",
        {"tag_versions": _NO_TIME,
         "tag_invalidate": ("local time =", "redis.call('UNLINK', KEYS[1]); do return '' end local time =")}),
    Bug("fill_proof_without_tags", "P1", "tag: followers", plant=tags.fill_proof_without_tags, many="tag: many"),
    Bug("proof_missing_is_equal", "P1", "tag: followers, lost", plant=tags.proof_missing_is_equal),
    Bug("no_epoch_check", "P1", "tag: derived", plant=tags.no_epoch_check, many="tag: derived, many"),
    Bug("version_before_epoch", "P1", "tag: derived", plant=port.version_before_epoch, many="tag: derived, many"),
    Bug("epoch_read_before_versions", "P1", "tag: derived", plant=port.epoch_read_before_versions),
    Bug("missing_epoch_is_equal", "P1", "tag: derived, lost", plant=tags.missing_epoch_is_equal),
    Bug("near_no_generation", "P1-near", "near: key", plant=tags.near_no_generation, many="near: many"),
    Bug("bump_before_only", "P1-near", "near: own process", plant=tags.bump_before_only),
    Bug("publish_before_unlink", "P1-near", "near: key",
        {"invalidate": ("redis.call('PUBLISH', ARGV[1], 'gone')", "")}, port.published_before),
    Bug("epoch_before_subscribe", "P1-near", "near: cut off", plant=port.up_too_soon),
    Bug("near_ttl_from_store", "P1-near", "near: lost messages", plant=tags.near_ttl_from_store),
    Bug("result_by_name", "P1", "pure: two processes", plant=core.result_by_name),
    Bug("result_to_late_joiners", "P1", "pure: two processes", plant=core.late_joiner_takes_read),
    Bug("cancel_kills_flight", "P3", "key: followers", plant=core.cancel_kills_flight),
    Bug("lease_without_ttl", "P3", "failures: no deadline",
        {"acquire": ("redis.call('SET', KEYS[1], token, 'PX', ARGV[2])", "redis.call('SET', KEYS[1], token)")}),
    Bug("no_poll", "P3", "failures: no deadline", plant=core.no_poll),
)  # fmt: skip

MORE: Final = (
    Bug("fill_no_compare", "P4", _KEY, {"fill": ("redis.call('GET', KEYS[2]) == ARGV[1]", "true")}),
    Bug("own_tag_invalidation_detaches_nothing", "P1", "failures: many", plant=core.no_detaching_of_unleased),
    Bug("running_load_is_taken_over", "P2", _KEY, plant=core.running_loads_taken_over),
    Bug("orphans_are_not_given_back", "books", "failures: commands", plant=core.orphans_not_tended),
    Bug("circle_of_waiting_is_not_seen", "P3", "key: nested", plant=core.circles_not_seen),
    Bug("flight_stays_on_the_map", "books", _KEY, plant=core.flights_not_closed),
    Bug("bell_is_not_hung_up", "books", _KEY, plant=core.no_hanging_up),
    Bug("waiting_raises", "error", _KEY, plant=core.waiting_raises),
)
"""Mistakes that are not in the specification; so each thing that is looked at is seen to fail."""

CANNOT_BE: Final = {
    "soft_keeps_lease": "no script makes a single key stale: only tags are, and these leave leases alone",
    "wake_any_token": "no result is taken out of a message; what lies under the token that is watched is looked at",
}
"""Mistakes of the specification that there is no place for in this code, and why."""

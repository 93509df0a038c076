"""Which rights a user of Redis needs for what is done once: those that the page about connecting names."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast import AlreadyRunning, Layer
from support.programs import Program
from support.rights import rights
from support.standalone import Standalone
from support.waiting import until


def test_the_rights_of_the_page_suffice(program: Program) -> None:
    """Something is begun, renewed, waited for, finished, replayed, and freed."""
    with Standalone(program) as server:
        server.ask("ACL", "SETUSER", "app", "reset", *rights("idempotency-news"))
        with (
            Layer(f"redis://app:secret@{server.host}:{server.port}/0", namespace="shop") as layer,
            ThreadPoolExecutor(1) as threads,
        ):
            go: list[int] = []

            @layer.idempotent("work:{number}", lease=0.15, wait=30)
            def work(number: int) -> int:
                if number == 1:
                    raise LookupError
                until(lambda: go, "it may end")
                return number

            with pytest.raises(LookupError):
                work(1)
            first = threads.submit(work, 2)
            early = layer.idempotent("work:{number}", wait=0.4)(work.__wrapped__)
            until(lambda: layer.engine.idempotency.runs._renewals.of_length(0.15), "it runs")
            with pytest.raises(AlreadyRunning):
                early(2)
            go.append(1)
            assert (first.result(), work(2)) == (2, 2)

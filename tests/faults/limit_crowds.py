"""Programs in which several processes use limits at the same time. Forked, which is cheap."""

from __future__ import annotations

import json
import os
from typing import Any, Final

from faults.programs import begun, ended

LONG: Final = bool(os.environ.get("HOLDFAST_LONG"))
"""Whether tests under load may take their time; a short while shows the same, less often."""

_HEAD: Final = """
import json, multiprocessing, traceback
from holdfast import Layer, Quota, RateLimited
NAMESPACE = "limits"
given = json.loads(sys.argv[2])
fork = multiprocessing.get_context("fork")

def crowd(count, work):
    # Run work(number) in processes that begin together; return what each says.
    begin, said = fork.Barrier(count), fork.SimpleQueue()
    def child(number):
        try:
            begin.wait(30)
            said.put((number, True, work(number)))
        except BaseException:
            said.put((number, False, traceback.format_exc()))
    children = [fork.Process(target=child, args=(number,)) for number in range(count)]
    [each.start() for each in children]
    answers = sorted(said.get() for _ in children)
    [each.join() for each in children]
    for _, good, answer in answers:
        assert good, answer
    assert [each.exitcode for each in children] == [0] * count
    return [answer for _, _, answer in answers]
"""


def crowd(program: str, url: str, **given: Any) -> Any:
    """Run a program to its end and return what it printed, which is JSON.

    It finds ``crowd(count, work)``, `Layer` and its like, and `given` as a dictionary.
    """
    return json.loads(ended(begun(f"{_HEAD}{program}", url, json.dumps(given))))

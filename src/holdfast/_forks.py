"""What has to be made anew in a child process: sockets, locks and loads that only the parent has.

`os.register_at_fork` cannot be undone, so it is called once, and the objects to tell are held weakly. They are told in
the order in which they were registered: who stands on others comes after them.
"""

from __future__ import annotations

import os
import threading
from itertools import count
from typing import Protocol
from weakref import WeakValueDictionary


class Forkable(Protocol):
    """Something that holds what must not cross a fork."""

    def after_fork(self) -> None:
        """Drop what belongs to the parent. It runs in the child, before any other code there."""
        ...


_registered: WeakValueDictionary[int, Forkable] = WeakValueDictionary()
_numbers = count()
_lock = threading.Lock()
_hooked = False


def watch(thing: Forkable) -> None:
    """Call `thing.after_fork()` in every child process, for as long as `thing` lives."""
    global _hooked  # noqa: PLW0603 - one hook a process
    with _lock:
        if not _hooked and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_tell)
            _hooked = True
        _registered[next(_numbers)] = thing


def _tell() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.Lock()
    for thing in list(_registered.values()):
        thing.after_fork()

"""Promises of locks to servers that fork: a child holds nothing of its parent's, and has locks of its own."""

from __future__ import annotations

from typing import Final

import pytest

from faults.programs import run
from faults.test_fork import IN_CHILD
from support.topologies import Servers

KINDS: Final = ["redis62", "cluster", "sentinel"]
BEGIN: Final = f"""{IN_CHILD}
    from holdfast import Layer, LockError, LockLost, LockNotAcquired, current_lock
    layer = Layer(url, namespace=os.environ["LOCKS_OF"])
    MAKES = [
        lambda **options: layer.lock("k", **options),
        lambda **options: layer.lock("k", fair=True, **options),
        lambda **options: layer.lock("k", reentrant=True, **options),
        lambda **options: layer.semaphore("k", 1, **options),
        lambda **options: layer.read_write_lock("k").write(**options),
        lambda **options: layer.multi_lock(["k", "k2"], **options),
    ]

    def raises(kind, call):
        try:
            call()
        except kind:
            return
        raise SystemExit(f"{{call}} should have raised {{kind.__name__}}")

    def is_free(make):
        try:
            with make(wait=0):
                return True
        except LockNotAcquired:
            return False
"""


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, servers: Servers, namespace: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the URL of each place, and tell programs their namespace."""
    monkeypatch.setenv("LOCKS_OF", namespace)
    return servers.topology(request.param).url


def test_the_childs_copy_is_lost(url: str) -> None:
    """It says so, and can be neither extended nor given back; leaving its block does nothing. The parent's lives on."""
    program = f"""{BEGIN}
    def look(held, lock):
        assert held.lost
        raises(LockLost, held.check)
        raises(LockLost, held.extend)
        raises(LockLost, held.release)
        raises(LockLost, lambda: asyncio.run(held.aextend()))
        lock.__exit__(None, None, None)
        held.__exit__(None, None, None)

    for make in MAKES:
        lock = make()
        with lock as held:
            good(child(lambda: look(held, lock)))
            held.check()
            held.extend()
            assert not held.lost
        assert is_free(make)
        handle = make().acquire()
        good(child(lambda: raises(LockLost, handle.release)))
        handle.extend()
        handle.release()
        assert is_free(make)
    layer.close()
    print("done")
    """
    assert run(program, url).strip() == "done"


def test_the_childs_body_sees_its_own_error(url: str) -> None:
    """A child that leaves its parent's block by an exception, or by `sys.exit`, gives nothing back."""
    program = f"""{BEGIN}
    for make in MAKES:
        for error in (LookupError, SystemExit, KeyboardInterrupt):
            try:
                with make() as held:
                    parent = os.getpid()
                    pid = os.fork()
                    if not pid:
                        raise error
                    os.waitpid(pid, 0)
                    held.extend()
            except error:
                os._exit(0)
            assert os.getpid() == parent
    layer.close()
    print("done")
    """
    assert run(program, url).strip() == "done"


def test_a_child_has_locks_of_its_own(url: str) -> None:
    """What its parent holds is others' for it, and it waits for that; what it takes it gives back, in both colours."""
    program = f"""{BEGIN}
    def others(make):
        assert not is_free(make)
        raises(LockNotAcquired, make(wait=0.05).acquire)

    def inner():
        with layer.lock("mine", wait=0) as held:
            assert current_lock() is held
            raises(LockNotAcquired, layer.lock("mine").acquire)
            held.extend()
        assert is_free(lambda **options: layer.lock("mine", **options))

    async def ainner():
        async with layer.lock("mine", lease=0.6, wait=0) as held:
            await asyncio.sleep(0.7)
            held.check()

    for make in MAKES:
        with make() as held:
            good(child(lambda: others(make)))
            held.check()
    with layer.lock("k"):
        good(child(inner))
        good(child(lambda: asyncio.run(ainner())))
    layer.close()
    print("done")
    """
    assert run(program, url).strip() == "done"


def test_a_child_waits_for_its_parent(url: str) -> None:
    """And hears of it, though the parent's connections were there before; others of the parent wait on beside."""
    program = f"""{BEGIN}
    def wait(make):
        began = time.monotonic()
        with make(wait=20) as held:
            held.check()

    for make in MAKES:
        held = make().acquire()
        waiter = threading.Thread(target=wait, args=(make,))
        waiter.start()
        while not layer.engine.locks.lobbies._lobbies:
            time.sleep(0.01)
        pid = child(lambda: wait(make))
        time.sleep(0.03)
        held.release()
        waiter.join()
        good(pid)
    layer.close()
    print("done")
    """
    assert run(program, url).strip() == "done"


def test_a_child_neither_renews_nor_keeps(url: str) -> None:
    """When the parent has died, the lock is free after its lease, though the child lives and knows it."""
    program = f"""{BEGIN}
    read, write = os.pipe()
    parent = os.fork()
    if not parent:
        held = layer.lock("k", lease=0.5).acquire()
        os.write(write, b"x")
        pid = os.fork()
        if pid:
            os._exit(0)
        time.sleep(1.2)  # the grandchild lives on, with its copy
        os._exit(0)
    os.read(read, 1)
    os.waitpid(parent, 0)
    began = time.monotonic()
    with layer.lock("k", wait=5):
        assert time.monotonic() - began < 1.1, time.monotonic() - began
    layer.close()
    print("done")
    """
    assert run(program, url).strip() == "done"


def test_the_parents_renewals_go_on(url: str) -> None:
    """After a fork, and after the child's end: a short lease is outlasted."""
    program = f"""{BEGIN}
    for make in (MAKES[0], MAKES[3]):
        with make(lease=0.5) as held:
            pid = child(lambda: time.sleep(0.2))
            time.sleep(0.65)
            held.check()
            good(pid)
            held.extend()
    layer.close()
    print("done")
    """
    assert run(program, url).strip() == "done"

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from holdfast.demo import folder
from holdfast.errors import ConfigurationError


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a temporary folder of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_in_the_temporary_folder_is_private_and_used_again() -> None:
    """Its name carries the user, its mode keeps others out, and the second run gets the same."""
    chosen = folder.choose(None)
    assert chosen.name == f"holdfast-demo-{os.getuid()}"
    assert stat.S_IMODE(chosen.stat().st_mode) == 0o700
    assert folder.choose(None) == chosen


def test_a_folder_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was there first could have put a database of his own into it."""
    own, name = os.getuid(), folder.choose(None)
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    name.rename(name.with_name(f"holdfast-demo-{own + 1}"))
    with pytest.raises(ConfigurationError, match=r"belongs to another user.*--folder"):
        folder.choose(None)


def test_a_folder_that_others_may_write_is_refused() -> None:
    """The mode is checked too, not only the owner."""
    folder.choose(None).chmod(0o777)
    with pytest.raises(ConfigurationError, match="open to other users"):
        folder.choose(None)


def test_a_link_is_refused(temporary: Path) -> None:
    """A link to a folder of ours would pass the other checks and still lead where somebody else wants."""
    target = temporary / "elsewhere"
    target.mkdir(0o700)
    (temporary / f"holdfast-demo-{os.getuid()}").symlink_to(target)
    with pytest.raises(ConfigurationError, match="not a plain folder"):
        folder.choose(None)


def test_a_named_folder_is_made_with_its_parents(temporary: Path) -> None:
    """--folder may name a place that is not there yet; whose it is, is the user's affair."""
    named = temporary / "a" / "b"
    assert folder.choose(named) == named
    assert named.is_dir()


def test_a_folder_that_cannot_be_made_is_one_clear_error(temporary: Path) -> None:
    """A file in its place is told as such, with what to do."""
    (temporary / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot be made.*--folder"):
        folder.choose(temporary / "file" / "below")

"""The folder in which the demo keeps its database between runs.

The temporary folder is open to every user of the machine, so ours inside it is private (mode 0700) and is trusted only
if it belongs to us: nobody else can put a database there for us to open.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

from holdfast.errors import ConfigurationError


def choose(chosen: Path | None) -> Path:
    """Return the folder for the database, made if it is not there.

    Args:
        chosen: the folder that the user named, or None for a private one in the temporary folder.

    Raises:
        ConfigurationError: it cannot be made, or belongs to somebody else.
    """
    folder = chosen or Path(tempfile.gettempdir()) / _private_name()
    try:
        folder.mkdir(mode=0o700, parents=chosen is not None, exist_ok=True)
    except OSError as error:
        msg = f"the folder {folder} cannot be made: {error.strerror}; name another with --folder"
        raise ConfigurationError(msg) from None
    if chosen is None:
        _require_private(folder)
    return folder


def _private_name() -> str:
    if sys.platform == "win32":
        return "holdfast-demo"  # the temporary folder is the user's own there
    return f"holdfast-demo-{os.getuid()}"


def _require_private(folder: Path) -> None:
    if sys.platform == "win32":
        return
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        problem = "is not a plain folder"
    elif found.st_uid != os.getuid():
        problem = "belongs to another user"
    elif stat.S_IMODE(found.st_mode) & 0o077:
        problem = "is open to other users"
    else:
        return
    msg = f"the folder {folder} {problem}, so its content cannot be trusted; remove it, or name another with --folder"
    raise ConfigurationError(msg)

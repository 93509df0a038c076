"""Environments for peers that cannot share ours, made once under a cache folder and used again.

Some peers want a redis-py or a Starlette of years ago. Each gets an environment with the same server and parser as
ours, in the same version; what a peer does not pin, it gets as new as it can have it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

_SHARED: Final = ("uvicorn", "httptools")
"""What serves must be equal for all."""


def cache_folder() -> Path:
    """Return where environments are kept: below XDG_CACHE_HOME, else ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "holdfast-benchmarks"


def python_with(packages: tuple[str, ...], folder: Path) -> str:
    """Return the interpreter of an environment with these packages, made where it is not there yet.

    Args:
        packages: requirements, as pip has them; none: the environment of the benchmark itself.
        folder: where environments are kept.

    Raises:
        RuntimeError: pip could not install them; with its last line.
    """
    if not packages:
        return sys.executable
    wanted = [*packages, *_servers()]
    tag = hashlib.sha256(repr((sys.version, wanted)).encode()).hexdigest()[:12]
    home = folder / tag
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        venv.create(home, with_pip=True, clear=True)
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], capture_output=True, check=False)
        if done.returncode:
            line = (done.stderr.decode(errors="replace").strip().splitlines() or ["pip failed"])[-1]
            msg = f"not installed: {line}"
            raise RuntimeError(msg)
        (home / "complete").touch()
    return str(python)


def _servers() -> list[str]:
    """Return the servers of our environment in their versions; a parser that we have not, the others get not either."""
    found: list[str] = []
    for package in _SHARED:
        try:
            found.append(f"{package}=={version(package)}")
        except PackageNotFoundError:
            continue
    return found

"""Tell one run: ``python -m support.lock_world_tell "plain: bad" 42``, in the folder of the tests."""

from __future__ import annotations

import sys

from support.lock_world_play import told
from support.lock_world_scenarios import SCENARIOS

print(told(SCENARIOS[sys.argv[1]], int(sys.argv[2])))

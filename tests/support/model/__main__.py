"""Tell one run: ``python -m support.model "tag: lost" 42``, in the folder of the tests."""

from __future__ import annotations

import sys

from support.model.play import told
from support.model.scenarios import SCENARIOS

print(told(SCENARIOS[sys.argv[1]], int(sys.argv[2])))

"""The plants of the headend's and the edge's tests serve here, too."""

import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
sys.path += [str(TESTS / part) for part in ("headend", "edge", "store")]

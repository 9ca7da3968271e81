"""Runs every benchmark, one after the other: `python benchmarks/all.py [--short]`."""

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run them all, and return how many failed."""
    here = Path(__file__)
    failed = 0
    for path in sorted(here.parent.glob("*.py")):
        if path == here or path.name.startswith("_"):
            continue
        print(f"\n=== {path.name} {' '.join(sys.argv[1:])}", flush=True)
        done = subprocess.run([sys.executable, str(path), *sys.argv[1:]], check=False)  # noqa: S603 - files of this folder
        failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())

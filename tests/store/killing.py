"""Runs a script that names each acknowledgement on a line, and kills it."""

import os
import subprocess
import sys
from pathlib import Path

import trio

import dercp

ROOT = Path(dercp.__file__).parents[1]


async def acknowledged_before_the_kill(
    child_script: Path, directory: Path, word: str, lines: int
) -> list[str]:
    """Let the script commit until so many acknowledgements were seen; then kill it."""
    child = await trio.lowlevel.open_process(
        [sys.executable, str(child_script), str(directory), word],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    seen = b""
    try:
        while seen.count(b"\n") < lines:
            received = await child.stdout.receive_some()
            assert received, "the child ended by itself"
            seen += received
    finally:
        child.kill()
    async for received in child.stdout:
        seen += received
    await child.wait()
    # A line cut off by the kill is no acknowledgement.
    return seen.decode().split("\n")[:-1]

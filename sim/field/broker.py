"""An MQTT broker of the demo's own: mosquitto, where it is installed."""

import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
import trio

__all__ = ["Broker", "find_mosquitto"]

# Where distributions put it, and not every user's PATH looks.
_SYSTEM_PROGRAMS: Final = "/usr/local/sbin:/usr/sbin"
_LOOK_EVERY_S: Final = 0.05

log = structlog.get_logger()


def find_mosquitto() -> str | None:
    """The program, where there is one."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=_SYSTEM_PROGRAMS)


class Broker:
    """A broker on the loopback, open to everybody on this machine.

    Attributes:
        port: Where it listens.
        pid: Of the process that runs; 0 while none does.
    """

    def __init__(self, program: str, directory: Path, port: int) -> None:
        self.port = port
        self.pid = 0
        self._program = program
        self._config = directory / "mosquitto.conf"

    async def serve(self, told: trio.TaskStatus[Any]) -> None:
        """Run it until cancelled.

        Raises:
            ConnectionError: It has ended by itself.
        """
        self._config.parent.mkdir(parents=True, exist_ok=True)
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n", "utf-8"
        )
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(
                partial(
                    trio.run_process,
                    [self._program, "-c", str(self._config)],
                    check=False,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    # Ctrl-C is for the demo, which still needs it to stop its agents in order.
                    start_new_session=True,
                )
            )
            self.pid = process.pid
            try:
                await self._wait_listening(process)
                told.started()
                log.info("mosquitto_listens", port=self.port, pid=self.pid)
                await process.wait()
            finally:
                self.pid = 0
        raise ConnectionError(f"mosquitto ended with {process.returncode}")

    async def _wait_listening(self, process: trio.Process) -> None:
        while process.returncode is None:
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", self.port)
            except OSError:
                await trio.sleep(_LOOK_EVERY_S)
            else:
                await stream.aclose()
                return

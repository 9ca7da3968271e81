"""Real `dercp` processes on loopback, and the API as their users see it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import httpx
import trio

T = TypeVar("T")

START_WITHIN_S = 30.0
STOP_WITHIN_S = 10.0
# Between two looks at an API that has no stream of events yet.
LOOK_EVERY_S = 0.05


class Dercp:
    """One running `dercp` command; its log is read as it is written."""

    def __init__(self, process: trio.Process, nursery: trio.Nursery) -> None:
        self.process = process
        self.log: list[dict[str, Any]] = []
        self.printed = ""
        self._news = trio.Condition()
        nursery.start_soon(self._read_log)
        nursery.start_soon(self._read_printed)

    async def wait_logged(self, event: str, *, within_s: float = START_WITHIN_S) -> dict[str, Any]:
        """The first log line of this event."""
        return await self.wait_logged_times(event, 1, within_s=within_s)

    async def wait_logged_times(
        self, event: str, times: int, *, within_s: float = START_WITHIN_S
    ) -> dict[str, Any]:
        """The log line with which this event was there so many times."""

        def look() -> dict[str, Any] | None:
            lines = (line for line in self.log if line.get("event") == event)
            return next(islice(lines, times - 1, None), None)

        return await self._wait(look, within_s)

    async def wait_logged_text(self, text: str, *, within_s: float = START_WITHIN_S) -> str:
        """The first line on standard error that contains this text."""
        return await self._wait(
            lambda: next((e for line in self.log if text in (e := str(line.get("event")))), None),
            within_s,
        )

    async def wait_printed(self, text: str, *, within_s: float = START_WITHIN_S) -> str:
        """All that was printed, once it contains the text."""
        return await self._wait(lambda: self.printed if text in self.printed else None, within_s)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop, and return its exit code; it may take ten seconds, no more."""
        self.process.send_signal(number)
        with trio.fail_after(STOP_WITHIN_S):
            return await self.process.wait()

    async def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        await self.process.wait()

    async def _wait(self, look: Callable[[], T | None], within_s: float) -> T:
        with trio.move_on_after(within_s):
            async with self._news:
                while (found := look()) is None:
                    await self._news.wait()
            return found
        raise AssertionError(f"not seen in {within_s} s; log: {self.log}; out: {self.printed}")

    async def _read_log(self) -> None:
        async for line in _lines(self.process.stderr):
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append({"event": line})
            await self._tell()

    async def _read_printed(self) -> None:
        async for line in _lines(self.process.stdout):
            self.printed += line + "\n"
            await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


async def _lines(stream: trio.abc.ReceiveStream | None) -> AsyncIterator[str]:
    assert stream is not None
    rest = b""
    async for chunk in stream:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode()


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[Dercp]:
    """`dercp` with these arguments; killed at the end of the block if it runs still."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "200"}
    async with trio.open_nursery() as nursery:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "dercp", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        try:
            yield Dercp(process, nursery)
        finally:
            if process.poll() is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            nursery.cancel_scope.cancel()


async def eventually(look: Callable[[], Awaitable[T | None]], *, within_s: float, what: str) -> T:
    """What `look` finds as soon as it finds something."""
    with trio.move_on_after(within_s):
        while True:
            found = await look()
            if found:
                return found
            await trio.sleep(LOOK_EVERY_S)
    raise AssertionError(f"{what}: not within {within_s} s")


class Api:
    """The REST API of one headend."""

    def __init__(self, url: str) -> None:
        self.http = httpx.AsyncClient(base_url=url, timeout=10)

    async def get(self, path: str) -> dict[str, Any]:
        """A document that must be there."""
        response = await self.http.get(path)
        assert response.status_code == httpx.codes.OK, response.text
        found: dict[str, Any] = response.json()
        return found

    async def dispatch(self, key: str, **body: object) -> dict[str, Any]:
        """Hand in a dispatch that must be taken."""
        response = await self.http.post("/dispatch", json=body, headers={"Idempotency-Key": key})
        assert response.status_code == httpx.codes.ACCEPTED, response.text
        assert response.headers["Location"].startswith("/dispatches/")
        taken: dict[str, Any] = response.json()
        return taken

    async def wait_state(self, dispatch_id: str, state: str, *, within_s: float) -> dict[str, Any]:
        """The dispatch, once it is in this state."""

        async def look() -> dict[str, Any] | None:
            found = await self.get(f"/dispatches/{dispatch_id}")
            return found if found["state"] == state else None

        return await eventually(look, within_s=within_s, what=f"dispatch {state}")

    async def wait_agent(self, agent_id: str, status: str, *, within_s: float) -> dict[str, Any]:
        """The agent, once it has this status."""

        async def look() -> dict[str, Any] | None:
            response = await self.http.get(f"/agents/{agent_id}")
            if response.status_code != httpx.codes.OK or response.json()["status"] != status:
                return None
            found: dict[str, Any] = response.json()
            return found

        return await eventually(look, within_s=within_s, what=f"agent {agent_id} {status}")


@asynccontextmanager
async def open_api(url: str) -> AsyncIterator[Api]:
    """An API client for the length of the block."""
    api = Api(url)
    async with api.http:
        yield api


def site_toml(directory: Path, *, agent_id: str, grpc: str, assets: int = 1) -> Path:
    """The file of a site with simulated batteries."""
    path = directory / f"{agent_id}.toml"
    path.write_text("\n".join(_site_lines(agent_id, grpc, assets)), encoding="utf-8")
    return path


def _site_lines(agent_id: str, grpc: str, assets: int) -> Iterator[str]:
    yield f'[agent]\nid = "{agent_id}"'
    yield f'[headend]\naddress = "{grpc}"'
    yield f'[site]\nid = "{agent_id}-site"\nname = "Site of {agent_id}"'
    for number in range(1, assets + 1):
        yield (
            f'[[assets]]\nid = "{agent_id}-bess-{number}"\nkind = "storage"\n'
            "p_min_mw = -2.0\np_max_mw = 2.0\nenergy_capacity_mwh = 4.0\n"
            'sample_interval_s = 0.5\nadapter = "simulated"'
        )

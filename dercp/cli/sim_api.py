"""The headend as a simulation asks it: what it holds, what it costs, how fresh it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, TypeVar

import httpx
import msgspec

from dercp.cli.exits import CommandError, Exit
from sim.load.accounts import Held

ANSWER_WITHIN_S: Final = 30.0
CPU: Final = "process_cpu_seconds_total"
RSS: Final = "process_resident_memory_bytes"
REPEATED: Final = "dercp_frames_duplicate_total"

T = TypeVar("T")


class _Spools(msgspec.Struct):
    spools: list[Held]


class _Sample(msgspec.Struct):
    source_time: datetime | None
    ingest_time: datetime | None


class _Drain(msgspec.Struct):
    lag_frames: int


class _Readiness(msgspec.Struct):
    drain: _Drain | None = None


class _Step(msgspec.Struct):
    state: str
    time: datetime


class DispatchSeen(msgspec.Struct):
    """A dispatch, and when it took its steps."""

    id: str
    state: str
    timeline: list[_Step]

    def after_s(self, state: str) -> float | None:
        """How long after it was handed in it got there; None if it never did."""
        times = {step.state: step.time for step in self.timeline}
        if state not in times:
            return None
        return (times[state] - self.timeline[0].time).total_seconds()


class Seen(msgspec.Struct, frozen=True):
    """The latest sample of an asset: when it was taken, and when it could be read."""

    source_time: datetime
    age_s: float


class SimApi:
    """The API of one headend.

    Every method raises CommandError when there is no answer, or the answer is no.
    """

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self._url = url
        self._http = http

    async def check(self) -> None:
        """See that it is ready."""
        await self._get("/readyz", _Readiness)

    async def undrained_frames(self) -> int:
        """Batches that are in its log and not yet in its store."""
        drain = (await self._get("/readyz", _Readiness)).drain
        return 0 if drain is None else drain.lag_frames

    async def metrics(self) -> dict[str, float]:
        """All metrics without labels."""
        text = (await self._ask("GET", "/metrics")).text
        pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs if "{" not in name}

    async def latest(self, asset_id: str) -> Seen | None:
        """The latest sample of an asset; None before the first."""
        sample = await self._get(f"/assets/{asset_id}/telemetry", _Sample)
        if sample.source_time is None or sample.ingest_time is None:
            return None
        age = sample.ingest_time - sample.source_time
        return Seen(sample.source_time, age.total_seconds())

    async def spools(self, agent_id: str) -> Sequence[Held]:
        """What is held of an agent's spools."""
        return (await self._get(f"/agents/{agent_id}/spools", _Spools)).spools

    async def submit(
        self, asset_id: str, setpoint_mw: float, *, for_s: float, key: str
    ) -> str | None:
        """Hand a dispatch in; its id, or None when it is refused."""
        body = {
            "asset_id": asset_id,
            "setpoint_mw": setpoint_mw,
            "duration_s": for_s,
            "reason": "simulated storm",
        }
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        content = msgspec.json.encode(body)
        response = await self._send("POST", "/dispatch", content=content, headers=headers)
        if not response.is_success:
            return None
        return self._read(response, DispatchSeen).id

    async def dispatch(self, dispatch_id: str) -> DispatchSeen:
        """How a dispatch stands."""
        return await self._get(f"/dispatches/{dispatch_id}", DispatchSeen)

    async def _get(self, path: str, shape: type[T]) -> T:
        return self._read(await self._ask("GET", path), shape)

    async def _ask(self, method: str, path: str) -> httpx.Response:
        response = await self._send(method, path)
        if not response.is_success:
            raise CommandError(
                f"the headend at {self._url} answers {path} with {response.status_code}: "
                f"{response.text[:200]}",
                code=Exit.UNAVAILABLE,
            )
        return response

    async def _send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        try:
            return await self._http.request(method, path, content=content, headers=headers)
        except httpx.RequestError as error:
            raise CommandError(
                f"no API of a headend answers at {self._url} "
                f"({str(error) or type(error).__name__}); name it with --api or DERCP_URL",
                code=Exit.UNAVAILABLE,
            ) from None

    def _read(self, response: httpx.Response, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(response.content, type=shape)
        except msgspec.MsgspecError as error:
            raise CommandError(
                f"what answers at {self._url} does not speak this release's API ({error})",
                code=Exit.UNAVAILABLE,
            ) from None


@asynccontextmanager
async def open_sim_api(url: str) -> AsyncIterator[SimApi]:
    """A client for the length of the block."""
    # A proxy of the environment is for the world, not for this machine.
    async with httpx.AsyncClient(base_url=url, timeout=ANSWER_WITHIN_S, trust_env=False) as http:
        yield SimApi(url, http)

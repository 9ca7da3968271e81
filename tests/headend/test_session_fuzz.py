"""Whatever an agent sends, it harms nobody but itself.

DERCP_FUZZ_EXAMPLES=20000 runs longer.
"""

import math
import os
from collections import defaultdict
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TypeAlias, assert_never

import trio
from headend_plant import START_US, Caller, Plant, open_plant, site_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.testing import run_deterministic
from dercp.headend.errors import DeskBusy, UnknownTarget
from dercp.link import LinkError
from dercp.wire.registration import encode_registration, registration_id
from dercp.wire.v1 import edge_link_pb2 as upb

EXAMPLES = int(os.environ.get("DERCP_FUZZ_EXAMPLES", "1000"))
fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

OWN = site_of("site-1", "bess-1", "bess-2")
OWN_CONTENT = encode_registration(OWN)
OWN_ID = registration_id(OWN_CONTENT)
ASSETS = ("bess-1", "bess-2")
YEAR_10000_US = 253_402_300_800_000_000


# --- what can be done


@dataclass(frozen=True)
class Send:
    """Put these bytes on the stream as one message."""

    content: bytes


@dataclass(frozen=True)
class Wait:
    """Let time pass, in seconds."""

    time_s: float


@dataclass(frozen=True)
class Reconnect:
    """Open one more session as the same agent."""


@dataclass(frozen=True)
class Cut:
    """Break the newest connection."""


@dataclass(frozen=True)
class Submit:
    """Somebody hands in a dispatch for the attacked asset."""


Step: TypeAlias = Send | Wait | Reconnect | Cut | Submit

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["x" * 5_000, "\0", "edge-1", "edge-2", "d-1", "d-2", "' OR 1=1"]
)
int64s = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(
    [0, -1, START_US, START_US + 10**9, START_US - 10**13, YEAR_10000_US, 2**63 - 1, -(2**63)]
)
uint64s = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**64 - 1])
uint32s = st.sampled_from([0, 1, 2, 3, 2**31, 2**32 - 1])
doubles = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 5e-324, -0.0, 1e308])
# Now and then an unknown member of an enum; 32 bits are what fits.
enums = st.integers(0, 14) | st.just(2**31 - 1)


def messages(kind: str, **fields: st.SearchStrategy[object]) -> st.SearchStrategy[Send]:
    """Uplinks of a kind whose fields are drawn."""

    def whole(values: dict[str, object]) -> Send:
        # upb takes a dict for a message.
        return Send(upb.Uplink(**{kind: values}).SerializeToString())

    return st.fixed_dictionaries(fields).map(whole)


rows = st.builds(
    upb.AssetRow,
    asset_index=uint32s,
    time_offset_us=st.sampled_from([0, 1, -1, 10**9, -(10**13), 2**62, -(2**62)]),
    values=st.lists(doubles, min_size=2, max_size=2) | st.lists(doubles, max_size=4),
    qualities=st.lists(
        st.builds(upb.ValueQuality, point_index=uint32s, quality=enums, reasons=uint32s),
        max_size=3,
    ),
)
payloads = st.builds(
    upb.TelemetryPayload,
    base_time_us=st.just(START_US) | int64s,
    rows=st.lists(rows, max_size=4),
).map(lambda payload: payload.SerializeToString())
registrations = st.just(OWN_CONTENT) | st.sampled_from(
    [
        b"",
        OWN_CONTENT[:-1],
        encode_registration(site_of("site-1", "bess-1")),
        encode_registration(site_of("site-1", "bess-9")),
        encode_registration(site_of("site-2", "bess-8")),
        encode_registration(site_of("site-3", "bess-1")),
    ]
)
hellos = messages(
    "hello",
    agent_id=st.just("edge-1") | texts,
    software_version=texts,
    spool_id=st.just("spool-1") | texts,
    registration=registrations,
    time_us=int64s,
)
batches = messages(
    "telemetry",
    sequence=uint64s,
    registration_id=st.just(OWN_ID) | st.binary(max_size=20),
    payload=payloads | st.binary(max_size=50),
    lane=st.sampled_from([0, 0, 1, 7]),
)
updates = messages(
    "dispatch_update",
    dispatch_id=st.sampled_from(["d-1", "d-2", "d-3"]) | texts,
    revision=st.just(1) | uint32s,
    state=enums,
    time_us=int64s,
    reason=texts,
    detail=texts,
    readback_mw=doubles,
    superseded_by=texts,
)
others = st.one_of(
    messages("heartbeat", time_us=int64s),
    messages("earlier_registration", registration=registrations),
    messages("event", time_us=int64s, asset_id=texts, name=texts, detail=texts),
    messages("gap_report", spool_id=texts, from_us=int64s, samples=uint64s, reason=texts),
    st.just(Send(b"")),
)
valid = hellos | batches | updates | others


@st.composite
def damaged(draw: st.DrawFn) -> Send:
    """A message some of whose bytes have changed, or whose end is missing."""
    content = bytearray(draw(valid).content)
    for _ in range(draw(st.integers(0, 3))):
        if content:
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return Send(bytes(content[: draw(st.integers(0, len(content)))]))


happenings = st.one_of(
    st.builds(Wait, st.sampled_from([0.0, 0.001, 1.0, 11.0, 31.0])),
    st.builds(Reconnect),
    st.builds(Cut),
    st.builds(Submit),
)
GOOD_HELLO = Send(
    upb.Uplink(
        hello=upb.Hello(agent_id="edge-1", spool_id="spool-1", registration=OWN_CONTENT)
    ).SerializeToString()
)


# --- what was carried


class Ledger:
    """What valid frames have said of each asset: the only things that may be shown."""

    def __init__(self) -> None:
        self.said: dict[str, set[tuple[int, float]]] = defaultdict(set)

    def hear(self, content: bytes) -> None:
        """Note the rows of a message, if there are any."""
        with suppress(Exception):
            payload = upb.TelemetryPayload.FromString(
                upb.Uplink.FromString(content).telemetry.payload
            )
            for row in payload.rows:
                time_us = payload.base_time_us + row.time_offset_us
                for asset_id in ASSETS[row.asset_index : row.asset_index + 1]:
                    self.said[asset_id].add((time_us, row.values[0]))

    def allows(self, asset_id: str, time_us: int | None, power_mw: float | None) -> bool:
        """Whether some frame said so; a value judged bad is shown as None."""
        if time_us is None:
            return power_mw is None
        return any(
            time_us == said_us and (power_mw is None or power_mw == said_mw)
            for said_us, said_mw in self.said[asset_id]
        )


# --- the ordeal


class Attack:
    """An agent that does what Hypothesis says, beside one that behaves."""

    def __init__(self, plant: Plant, stack: AsyncExitStack) -> None:
        self._plant = plant
        self._stack = stack
        self._callers: list[Caller] = []
        self._before: dict[str, float] = {}
        self.ledger = Ledger()

    async def connect(self) -> None:
        """Open a call and say a good Hello first."""
        caller = await self._stack.enter_async_context(self._plant.caller("edge-1", OWN))
        self._callers.append(caller)
        await self.take(GOOD_HELLO)

    async def take(self, step: Step) -> None:
        """Do it; a link that is gone is no surprise."""
        match step:
            case Send(content):
                self.ledger.hear(content)
                with suppress(LinkError):
                    await self._callers[-1].call.send(content)
            case Wait(time_s):
                await trio.sleep(time_s)
            case Reconnect():
                await self.connect()
            case Cut():
                await self._callers[-1].wire.cut()
            case Submit():
                with suppress(DeskBusy, UnknownTarget):
                    await self._plant.submit()
            case _:
                assert_never(step)

    async def look(self) -> None:
        """What must hold at every moment."""
        plant = self._plant
        await plant.settle()
        plant.assert_unharmed()
        counters = dict(plant.headend.operations.counters())
        assert all(counters.get(name, 0) >= count for name, count in self._before.items())
        self._before = counters
        ended = sum(v for name, v in counters.items() if name.startswith("sessions_ended_"))
        assert counters["sessions"] == ended + plant.sessions()
        for asset in plant.headend.reader.assets():
            telemetry = plant.headend.reader.telemetry(asset.spec.asset_id)
            assert telemetry is not None
            if asset.agent_id == "edge-1" and asset.spec.asset_id in ASSETS:
                power_mw = plant.power_mw(asset.spec.asset_id)
                assert self.ledger.allows(asset.spec.asset_id, telemetry.source_time_us, power_mw)
        plant.headend.reader.sites()
        plant.headend.reader.agents()


async def withstand(steps: list[Step]) -> None:
    """Play the steps, the neighbour speaking in between, and look after each."""
    async with open_plant() as plant, plant.agent("edge-2", "site-2", assets=("n-1",)) as neighbour:
        async with AsyncExitStack() as stack:
            attack = Attack(plant, stack)
            await attack.connect()
            await attack.look()
            await attack.take(Submit())
            for number, step in enumerate(steps):
                await attack.take(step)
                await neighbour.sample(number / 100)
                await attack.look()
                assert plant.power_mw("n-1") == number / 100
        await trio.sleep(30)
        await neighbour.sample(1.0)
        await attack.look()
        assert plant.power_mw("n-1") == 1.0
        # Of the attacker nothing runs any more, and of what it claimed nothing is too much.
        assert plant.sessions() == 1
        names = {asset.spec.asset_id for asset in plant.headend.reader.assets()}
        assert names <= {"n-1", "bess-1", "bess-2", "bess-8", "bess-9"}
        for dispatch in plant.disk.dispatches.values():
            assert len(dispatch.timeline) <= 64


@fuzzed
@given(st.lists(st.builds(Send, st.binary(max_size=200)) | damaged(), max_size=20))
def test_bytes_of_any_kind_harm_nobody_else(steps: list[Step]) -> None:
    """Noise and damaged messages: rejects, at worst the end of the session."""
    run_deterministic(0, withstand, steps)


@fuzzed
@given(st.lists(valid | damaged() | happenings, max_size=20))
def test_absurd_messages_in_any_order_harm_nobody_else(steps: list[Step]) -> None:
    """Valid to the letter, absurd in content, with reconnects, cuts and pauses in between."""
    run_deterministic(0, withstand, steps)

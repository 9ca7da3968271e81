"""What becomes of a session's telemetry: its rows are looked at, its frames are logged."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Final

import trio

from actors import put_all
from dercp.headend.fleet.twin import Arrival, Twin, alone
from dercp.headend.messages import LogFrame, LogGap
from dercp.model.latest import CLOCK_LIMITS, order_time_us
from dercp.store.errors import StoreError
from dercp.store.records import FrameRecord, GapRecord, RegistrationRecord
from dercp.wire import v1
from dercp.wire.errors import WireError
from dercp.wire.payload import Frame, PayloadSchema
from dercp.wire.registration import decode_registration, registration_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dercp.headend.agents.facts import SessionFacts
    from dercp.headend.fleet.roster import Roster
    from dercp.headend.history.ingest import IngestFront
    from dercp.headend.messages import SessionRef
    from dercp.headend.settings import HeadendSettings
    from dercp.model.asset import Registration
    from dercp.model.time import Clock
    from dercp.store.ports import Registry

REASON_CHARS_MAX: Final = 64
# Looking at each value costs more than all the rest of a sample: a point that is always out of
# its range shows in one frame of so many as well.
ODDITIES_LOOKED_FOR_EVERY: Final = 16
# A larger registration is read in a thread: 4 MB may take 2 s, which others would feel.
REGISTRATION_BYTES_INLINE_MAX = 64 * 1024


class Layout:
    """How batches of one registration are read, and whose rows they are (None: nobody's now)."""

    def __init__(self, schema: PayloadSchema, twins: Sequence[Twin | None]) -> None:
        self.schema = schema
        self.slots = [None if twin is None else twin.latest for twin in twins]
        # With these all is as it should be: each row is somebody's.
        self.owned_slots = [slot for slot in self.slots if slot is not None]
        self.is_owned = len(self.owned_slots) == len(twins)


class Intake:
    """Takes in the telemetry of one session.

    A batch names the registration it was written under: the session's own, or an earlier
    one of the same site, which the registry knows or the agent has told. Each row is offered
    to its asset's slot; the batch as it came goes to the log, which lets it be acknowledged
    once it is durable. So is an earlier registration before the first batch under it.

    Characteristics:
        Bound: `registrations_per_session_max` layouts; the one fetched first is forgotten. As
            many earlier registrations may be told.
        When the log is full: the batch is seen by the slots and not acknowledged; the edge
            sends it again.
        When the registry is away: the same with a batch under an earlier registration, but
            that nobody sees it.
    """

    def __init__(
        self,
        facts: SessionFacts,
        roster: Roster,
        registry: Registry,
        ingest: IngestFront,
        *,
        settings: HeadendSettings,
        clock: Clock,
        bulk_decoding: trio.CapacityLimiter,
    ) -> None:
        self._facts = facts
        self._roster = roster
        self._registry = registry
        self._ingest = ingest
        self._settings = settings
        self._clock = clock
        self._bulk_decoding = bulk_decoding
        # By registration; the first is the session's own, and stays.
        self._layouts: dict[bytes, Layout] = {}
        # Told in this session, by id; a batch under one makes it durable.
        self._told: dict[bytes, bytes] = {}
        self._told_count = 0
        self._site_id = ""
        self._spool_id = ""
        self._session: SessionRef

    def open(
        self,
        session: SessionRef,
        hello: v1.Hello,
        registration: Registration,
        own: tuple[bytes, PayloadSchema],
        twins: Sequence[Twin],
    ) -> None:
        """The agent was admitted, to speak for these assets."""
        self._session = session
        self._spool_id = hello.spool_id
        self._site_id = registration.site_id
        registration_id, schema = own
        self._layouts[registration_id] = Layout(schema, tuple(twins))

    async def read_registration(self, content: bytes) -> tuple[Registration, PayloadSchema]:
        """A registration that was told, and how its batches are read.

        Raises:
            WireError: TOO_LARGE, TOO_MANY_ASSETS or BAD_REGISTRATION.
        """
        if len(content) <= REGISTRATION_BYTES_INLINE_MAX:
            return _read(content, self._settings)
        return await trio.to_thread.run_sync(
            _read, content, self._settings, limiter=self._bulk_decoding
        )

    async def learn(self, content: bytes) -> None:
        """Take note of an earlier registration of this site: batches under it follow.

        Raises:
            WireError: It is none, as `read_registration` says; NOT_YOURS: another site's;
                OVERLOADED: too many in one session, which must end.
        """
        self._told_count += 1
        if self._told_count > self._settings.registrations_per_session_max:
            raise WireError(
                v1.RejectCode.OVERLOADED, "too many earlier registrations in one session"
            )
        registration, _ = await self.read_registration(content)
        if registration.site_id != self._site_id:
            raise WireError(
                v1.RejectCode.NOT_YOURS,
                f"an earlier registration of site {registration.site_id}, not {self._site_id}",
            )
        self._told[registration_id(content)] = content

    async def take_batch(self, batch: v1.TelemetryBatch, heard_mono_s: float) -> None:
        """Offer each row of a frame to its asset's slot, and have the frame logged.

        Raises:
            WireError: UNKNOWN_REGISTRATION, BAD_PAYLOAD or TOO_LARGE.
        """
        if self.take_at_once(batch, heard_mono_s):
            return
        try:
            layout = await self._fetch(batch)
        except StoreError:
            # Others say loudly that the store is away.
            self._ingest.pass_over()
            return
        self._take(layout, batch, heard_mono_s)

    def take_at_once(self, batch: v1.TelemetryBatch, heard_mono_s: float) -> bool:
        """As `take_batch`; False, and nothing is done, where its registration is to be fetched.

        Raises:
            WireError: BAD_PAYLOAD or TOO_LARGE; nothing is done.
        """
        layout = self._layouts.get(batch.registration_id)
        if layout is None:
            return False
        self._take(layout, batch, heard_mono_s)
        return True

    def _take(self, layout: Layout, batch: v1.TelemetryBatch, heard_mono_s: float) -> None:
        frame = layout.schema.decode(batch.payload)
        if not 1 <= batch.sequence < 2**63:
            raise WireError(v1.RejectCode.BAD_PAYLOAD, "batches are numbered from 1")
        now_us = self._clock()
        self._offer(layout, frame, batch, now_us, heard_mono_s)
        times_us = frame.times_us or [now_us]
        record = FrameRecord(
            tenant_id=self._settings.tenant_id,
            agent_id=self._facts.agent_id,
            spool_id=self._spool_id,
            sequence=batch.sequence,
            registration_id=batch.registration_id,
            ingest_time_us=now_us,
            first_time_us=min(times_us),
            last_time_us=max(times_us),
            samples=len(frame.contents),
            payload=batch.payload,
        )
        self._ingest.hand_in(LogFrame(frame=record, session=self._session))

    def take_gap(self, report: v1.GapReport) -> None:
        """Have a declaration of what will never come logged.

        Raises:
            WireError: MALFORMED: it declares nothing, or another spool's.
        """
        sequences = report.sequences
        if sequences is None or not 1 <= sequences.first <= sequences.last < 2**63:
            raise WireError(v1.RejectCode.MALFORMED, "a gap needs the sequences that it declares")
        if report.from_us > report.to_us:
            raise WireError(v1.RejectCode.MALFORMED, "a gap ends before it begins")
        self._facts.gap_samples += report.samples
        record = GapRecord(
            tenant_id=self._settings.tenant_id,
            agent_id=self._facts.agent_id,
            # An edge that lost its spool speaks of the one before.
            spool_id=report.spool_id or self._spool_id,
            first_sequence=sequences.first,
            last_sequence=sequences.last,
            from_us=report.from_us,
            to_us=report.to_us,
            samples=report.samples,
            reason=report.reason[:REASON_CHARS_MAX],
            declared_us=self._clock(),
        )
        self._ingest.hand_in(LogGap(gap=record, session=self._session))

    def _offer(
        self,
        layout: Layout,
        frame: Frame,
        batch: v1.TelemetryBatch,
        now_us: int,
        heard_mono_s: float,
    ) -> None:
        """Let each row become its asset's latest, unless a newer one is."""
        facts, contents, times_us = self._facts, frame.contents, frame.times_us
        facts.samples += len(contents)
        if facts.frames % ODDITIES_LOOKED_FOR_EVERY == 1:
            facts.oddities += layout.schema.oddities(frame)
        if not contents:
            return
        if len(batch.payload) > self._settings.frame_bytes_held_max:
            contents = [alone(content) for content in contents]
        arrival = Arrival(
            layout.schema, frame.base_time_us, now_us, heard_mono_s, facts.clock_offset_us
        )
        items = zip(contents, repeat(arrival), strict=False)
        in_time = min(times_us) >= CLOCK_LIMITS.earliest_us and max(times_us) <= now_us
        if in_time and layout.is_owned:
            slots = [layout.owned_slots[index] for index in frame.asset_indexes]
            facts.late_samples += put_all(slots, items, times_us, now_us)
            return
        live = batch.lane is v1.Lane.LIVE
        for index, item, time_us in zip(frame.asset_indexes, items, times_us, strict=True):
            slot = layout.slots[index]
            order = order_time_us(time_us, now_us, live=live)
            if slot is None or order is None or not slot.put(item, order, now_us):
                facts.late_samples += 1

    async def _fetch(self, batch: v1.TelemetryBatch) -> Layout:
        """The layout of an earlier registration of this site, which is durable by then.

        Raises:
            WireError: UNKNOWN_REGISTRATION: the batch can never be read here.
            StoreError: The registry cannot say for now.
        """
        content_id = batch.registration_id
        content = self._told.get(content_id)
        if content is not None:
            await self._registry.remember(
                RegistrationRecord(
                    registration_id=content_id, content=content, first_seen_us=self._clock()
                )
            )
        elif (record := await self._registry.find_registration(content_id)) is not None:
            content = record.content
        else:
            raise self._unknown(batch, "which was never registered")
        try:
            registration, schema = await self.read_registration(content)
        except WireError as error:
            # The limits were narrowed since.
            raise self._unknown(batch, error.detail) from error
        if registration.site_id != self._site_id:
            raise self._unknown(batch, f"which is of site {registration.site_id}")
        self._told.pop(content_id, None)
        layout = Layout(schema, tuple(self._own(spec.asset_id) for spec in registration.assets))
        self._layouts[content_id] = layout
        if len(self._layouts) > self._settings.registrations_per_session_max:
            del self._layouts[list(self._layouts)[1]]
        return layout

    def _unknown(self, batch: v1.TelemetryBatch, why: str) -> WireError:
        return WireError(
            v1.RejectCode.UNKNOWN_REGISTRATION,
            f"batch {batch.sequence} names registration {batch.registration_id[:16].hex()}, {why}",
        )

    def _own(self, asset_id: str) -> Twin | None:
        twin = self._roster.twins.get(asset_id)
        return twin if twin is not None and twin.agent_id == self._facts.agent_id else None


def _read(content: bytes, settings: HeadendSettings) -> tuple[Registration, PayloadSchema]:
    registration = decode_registration(content, settings.registration)
    return registration, schema_of(registration, settings)


def schema_of(registration: Registration, settings: HeadendSettings) -> PayloadSchema:
    """Reads the payloads of a registration, within the headend's limits."""
    return PayloadSchema(
        registration, bytes_max=settings.message_bytes_max, rows_max=settings.rows_per_frame_max
    )

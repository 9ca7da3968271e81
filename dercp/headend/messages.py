"""What the headend's actors say to each other. Frozen; times are Unix microseconds."""

from __future__ import annotations

import msgspec

from actors import Question, Ref
from dercp.headend.agents.facts import SessionFacts
from dercp.headend.fleet.twin import Link, Twin
from dercp.model.asset import Registration
from dercp.model.dispatch import Dispatch, DispatchEvent, DispatchRequest
from dercp.model.schedule import Schedule
from dercp.store.records import FrameRecord, GapRecord
from dercp.wire.v1 import RejectCode


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all messages."""


# --- to a session


class SendDispatch(Message, frozen=True):
    """Put this dispatch on the stream, or the wish to end it if it is withdrawn."""

    dispatch: Dispatch


class Superseded(Message, frozen=True):
    """A newer session of the same agent has begun."""

    epoch: int


class DrainAgent(Message, frozen=True):
    """Tell the agent to come back later, and end."""

    reconnect_within_s: float
    reason: str


class Durable(Message, frozen=True):
    """These batches of the spool (first and last of each stretch) are on disk."""

    spool_id: str
    sequences: tuple[tuple[int, int], ...]


SessionMessage = SendDispatch | Superseded | DrainAgent | Durable


# --- to an asset


class Attached(Message, frozen=True):
    """A session carries the asset now."""

    link: Link


class Detached(Message, frozen=True):
    """This session carries the asset no longer."""

    link: Link


class Deliver(Message, frozen=True):
    """Hand this dispatch, or the wish to end it, to whoever carries the asset or site."""

    dispatch: Dispatch


AssetMessage = Attached | Detached | Deliver


# --- to a site


class SessionUp(Message, frozen=True):
    """An agent's session carries these assets of the site from now on."""

    link: Link
    twins: tuple[Twin, ...]
    # Assets that the agent had registered before, and does not any longer.
    retired: tuple[Twin, ...]


class SessionDown(Message, frozen=True):
    """The session that carried these assets is over."""

    link: Link
    asset_ids: tuple[str, ...]
    reason: str


SiteMessage = SessionUp | SessionDown | Deliver


# --- to the fleet


class Admission(Message, frozen=True):
    """The agent may speak for these assets, in the order of its registration."""

    session_id: str
    epoch: int
    twins: tuple[Twin, ...]


class AdmissionRefused(Message, frozen=True):
    """The agent may not speak, and why."""

    code: RejectCode
    detail: str


class Admit(Message, Question[Admission | AdmissionRefused], frozen=True):
    """An agent, named in `facts`, has said Hello."""

    software_version: str
    spool_id: str
    registration_id: bytes
    registration_content: bytes
    registration: Registration
    session: SessionRef
    facts: SessionFacts


class SessionEnded(Message, frozen=True):
    """A session that asked for admission is over; `facts` say whether it got it, and how."""

    session: SessionRef
    facts: SessionFacts


FleetMessage = Admit | SessionEnded


# --- to the ingest log


class LogFrame(Message, frozen=True):
    """Make this batch durable, then tell the session."""

    frame: FrameRecord
    session: SessionRef


class LogGap(Message, frozen=True):
    """Make this declaration durable, then tell the session."""

    gap: GapRecord
    session: SessionRef


IngestMessage = LogFrame | LogGap


# --- to the dispatch desk


class Submit(Message, Question[Dispatch], frozen=True):
    """Take a dispatch; answered with it, once it is durable."""

    request: DispatchRequest
    key: str
    fingerprint: str
    # Of a preview: the dispatch is refused when the plan would be another one now.
    plan_token: str = ""


class SubmitSchedule(Message, Question[Dispatch], frozen=True):
    """Take all blocks of a schedule; answered with the first, once all are durable.

    The schedule gets its id here.
    """

    schedule: Schedule
    key: str
    fingerprint: str


class Cancel(Message, Question[Dispatch], frozen=True):
    """End a dispatch early, with all its parts; answered with it, once the wish is durable."""

    dispatch_id: str
    detail: str


class CancelSchedule(Message, Question[Dispatch], frozen=True):
    """End what is open of a schedule; answered with its first open one."""

    schedule_id: str
    detail: str


class AssetsReachable(Message, frozen=True):
    """A session carries these assets now: deliver what waits for them, and for their site."""

    site_id: str | None
    asset_ids: tuple[str, ...]


class AssetsUnreachable(Message, frozen=True):
    """The session of these assets is gone: what it had not answered is undelivered.

    `site_id` None says that only the assets are meant.
    """

    site_id: str | None
    asset_ids: tuple[str, ...]
    reason: str


class DeliveryFailed(Message, frozen=True):
    """A dispatch could not be put on a stream."""

    dispatch_id: str
    reason: str


class EdgeSaid(Message, frozen=True):
    """An agent's word about a dispatch."""

    agent_id: str
    dispatch_id: str
    revision: int
    event: DispatchEvent
    # What was asked at the site, of a dispatch that began there.
    local: DispatchRequest | None = None


DeskMessage = (
    Submit
    | SubmitSchedule
    | Cancel
    | CancelSchedule
    | AssetsReachable
    | AssetsUnreachable
    | DeliveryFailed
    | EdgeSaid
)

SessionRef = Ref[SessionMessage]
AssetRef = Ref[AssetMessage]
SiteRef = Ref[SiteMessage]
FleetRef = Ref[FleetMessage]
DeskRef = Ref[DeskMessage]
IngestRef = Ref[IngestMessage]

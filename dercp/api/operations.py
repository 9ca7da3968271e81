"""What the operator of the headend asks: alive, ready, how busy, and made of what."""

from typing import Annotated

import msgspec
from msgspec import Meta

from actors import MailboxStatistics, Node
from dercp.api.metrics import exposition
from dercp.api.problems import NOT_READY, Refusal
from dercp.api.queries import Query
from dercp.api.resources import Resource
from dercp.api.routes import Call, Reply
from dercp.headend.views import DrainView

RETRY_READINESS_S = 1.0


class Liveness(Resource, frozen=True, kw_only=True):
    """The process answers."""

    alive: bool


class StoreDrain(Resource, frozen=True, kw_only=True):
    """How telemetry goes from the headend's log into the store."""

    state: str
    position: Annotated[int, Meta(description="The last position of the log that is in the store")]
    lag_frames: int
    lag_bytes: int
    lag_s: Annotated[float, Meta(description="Age of the oldest batch that is not in the store")]
    quarantined: Annotated[int, Meta(description="Batches that the store refused, kept aside")]
    last_error: str


class Readiness(Resource, frozen=True, kw_only=True):
    """The headend serves, and what it serves."""

    ready: bool
    assets: int
    assets_online: int
    agents_connected: int
    degraded_because: Annotated[
        str | None, Meta(description="What is wrong although it serves; null: nothing")
    ]
    drain: Annotated[
        StoreDrain | None, Meta(description="Null where telemetry stays in the headend's own file")
    ]


class MailboxResource(Resource, frozen=True, kw_only=True):
    """What a mailbox has seen since the start."""

    waiting: int
    accepted: int
    handled: int
    rejected: int
    dropped: int
    conflated: int
    expired: int
    dead_letters: int


class ActorResource(Resource, frozen=True, kw_only=True):
    """An actor or supervisor and what runs below it."""

    name: str
    path: str
    kind: str
    state: str
    restarts: int
    mailbox: Annotated[MailboxResource, Meta(description="Null for a supervisor")] | None
    children: "tuple[ActorResource, ...]"


async def livez(_call: Call[Query]) -> Liveness:
    """Whether the loop turns; an answer is a yes."""
    return Liveness(alive=True)


async def readyz(call: Call[Query]) -> Readiness:
    """Whether the headend can do its work; why not is in the problem."""
    system = call.services.operations.system()
    if not system.ready:
        raise Refusal(NOT_READY, system.not_ready_because, retry_after_s=RETRY_READINESS_S)
    return Readiness(
        ready=True,
        assets=system.assets,
        assets_online=system.assets_online,
        agents_connected=system.agents_connected,
        degraded_because=system.degraded_because or None,
        drain=None if system.drain is None else _drain_resource(system.drain),
    )


async def metrics(call: Call[Query]) -> Reply[str]:
    """All totals for Prometheus."""
    return Reply(content=exposition(call.services.operations, call.services.live))


async def actor_tree(call: Call[Query]) -> ActorResource:
    """The tree of actors, and what their mailboxes have seen."""
    return _actor_resource(call.services.operations.tree())


def _drain_resource(drain: DrainView) -> StoreDrain:
    return msgspec.convert(drain, StoreDrain, from_attributes=True)


def _actor_resource(node: Node) -> ActorResource:
    return ActorResource(
        name=node.name,
        path=node.path,
        kind=node.kind,
        state=node.state,
        restarts=node.restarts,
        mailbox=None if node.mailbox is None else _mailbox_resource(node.mailbox),
        children=tuple(map(_actor_resource, node.children)),
    )


def _mailbox_resource(seen: MailboxStatistics) -> MailboxResource:
    return msgspec.convert(seen, MailboxResource, from_attributes=True)

"""What the headend holds of an agent's spools: for whoever checks that nothing was lost."""

from typing import Annotated

import msgspec
from msgspec import Meta

from dercp.api.fleet import found
from dercp.api.history import RETRY_S
from dercp.api.problems import HISTORY_UNAVAILABLE, Refusal
from dercp.api.queries import Query
from dercp.api.resources import Resource
from dercp.api.routes import Call
from dercp.headend.errors import HistoryUnavailable

Ranges = list[tuple[int, int]]


class SpoolAccountResource(Resource, frozen=True, kw_only=True):
    """What is held of one spool."""

    spool_id: str
    stored: Annotated[
        Ranges, Meta(description="Numbers of the batches ever logged: first and last of each range")
    ]
    declared: Annotated[
        Ranges, Meta(description="Numbers of those that were declared as gaps and never came")
    ]
    stored_batches: Annotated[int, Meta(description="Batches that are held still")]
    stored_samples: Annotated[int, Meta(description="Samples in them")]
    declared_samples: Annotated[int, Meta(description="Samples lost by the agent's own word")]


class SpoolAccountsResource(Resource, frozen=True, kw_only=True):
    """What is held of all spools of an agent, that seen first in front."""

    agent_id: str
    spools: list[SpoolAccountResource]


async def list_spools(call: Call[Query]) -> SpoolAccountsResource:
    """What is held of each spool of an agent, counted batch by batch.

    An edge numbers its batches within a spool from 1 without holes: what is in neither range
    is still to come. All of the agent's history is read for it.
    """
    agent = found(call.services.reader.agent(call.id), "agent", call.id)
    try:
        accounts = await call.services.history.spools(agent.agent_id)
    except HistoryUnavailable as error:
        raise Refusal(HISTORY_UNAVAILABLE, str(error), retry_after_s=RETRY_S) from error
    return SpoolAccountsResource(
        agent_id=agent.agent_id,
        spools=msgspec.convert(accounts, list[SpoolAccountResource], from_attributes=True),
    )

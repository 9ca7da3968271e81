"""Which batches of a spool are in the log, or declared; read and written a call at a time.

Nothing of it is kept in memory between calls: after a lost connection there is nothing to
mend, and several writers may share the database. The lock on `extent` puts them in order.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from dercp.model.completeness import Stretch, Stretches
from dercp.store.postgres._bridge import Db, Row
from dercp.store.records import SpoolSequences

_FIND = """
SELECT spool_key, tenant_id, agent_id, spool_id
FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (tenant_id, agent_id, spool_id)
JOIN spool USING (tenant_id, agent_id, spool_id)
"""
_MAKE = """
INSERT INTO spool (tenant_id, agent_id, spool_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
RETURNING spool_key, tenant_id, agent_id, spool_id
"""
# From the last stretch that begins at the lowest number or before: no earlier one reaches it.
_READ = """
SELECT s.spool_key, s.first, s.last, s.from_us, s.to_us
FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS wanted (spool_key, low, high)
JOIN stretch AS s ON s.spool_key = wanted.spool_key AND s.account = $1
  AND s.first <= wanted.high + 1
  AND s.first >= coalesce((
    SELECT max(b.first) FROM stretch AS b
    WHERE b.spool_key = wanted.spool_key AND b.account = $1 AND b.first <= wanted.low
  ), wanted.low)
ORDER BY s.spool_key, s.first
"""
_DROP = """
DELETE FROM stretch USING unnest($2::bigint[], $3::bigint[]) AS gone (spool_key, first)
WHERE stretch.spool_key = gone.spool_key AND account = $1 AND stretch.first = gone.first
"""
_PUT = """
INSERT INTO stretch (account, spool_key, first, last, from_us, to_us)
SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
ON CONFLICT (spool_key, account, first) DO UPDATE SET
  last = excluded.last, from_us = excluded.from_us, to_us = excluded.to_us
"""
_OF_AGENT = """
SELECT spool_key, spool_id, account, first, last, from_us, to_us
FROM spool JOIN stretch USING (spool_key) WHERE tenant_id = $1 AND agent_id = $2
ORDER BY spool_key, account, first
"""


class SpoolName(NamedTuple):
    """What a spool is called outside."""

    tenant_id: str
    agent_id: str
    spool_id: str


class Account(StrEnum):
    """How a batch is accounted for."""

    STORED = "stored"
    DECLARED = "declared"


class Reach(NamedTuple):
    """Numbers of a spool that a call is about."""

    spool_key: int
    low: int
    high: int


async def find_spools(db: Db, names: Iterable[SpoolName]) -> dict[SpoolName, int]:
    """The key of each spool, made if it is new, in the order in which they are named."""
    wanted = list(dict.fromkeys(names))
    keys = _keys(await db.fetch(_FIND, *_columns(wanted)))
    new = [name for name in wanted if name not in keys]
    if new:
        keys |= _keys(await db.fetch(_MAKE, *_columns(new)))
    return keys


class Known:
    """What of one account is known around some numbers, and what of it a call changes."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._stretches: dict[int, Stretches] = {}
        self._changed: dict[tuple[int, int], Stretch | None] = {}

    async def read(self, db: Db, reaches: Iterable[Reach]) -> None:
        """Take in what lies within the reaches or touches them; once, before all else."""
        wanted = list(reaches)
        found: dict[int, list[Stretch]] = {reach.spool_key: [] for reach in wanted}
        for key, *stretch in await db.fetch(_READ, self._account, *_columns(wanted)):
            found[key].append(Stretch(*stretch))
        self._stretches = {key: Stretches(stretches) for key, stretches in found.items()}

    def of(self, spool_key: int) -> Stretches:
        """Those of a spool that was within the reaches."""
        return self._stretches[spool_key]

    def add(self, spool_key: int, stretch: Stretch) -> None:
        """Take in a stretch; `write` brings it to the database."""
        touched, grown = self._stretches[spool_key].add(stretch)
        for gone in touched:
            if gone.first != grown.first:
                self._changed[spool_key, gone.first] = None
        self._changed[spool_key, grown.first] = grown

    def changed(self) -> list[tuple[int, Stretch]]:
        """What is new or has grown, by spool."""
        return [(key, each) for (key, _), each in self._changed.items() if each is not None]

    async def write(self, db: Db) -> None:
        """Write what has changed."""
        gone = [place for place, stretch in self._changed.items() if stretch is None]
        if gone:
            await db.execute(_DROP, self._account, *_columns(gone))
        rows = [
            (key, each.first, each.last, each.from_us, each.to_us) for key, each in self.changed()
        ]
        if rows:
            await db.execute(_PUT, self._account, *_columns(rows))


async def find_sequences(db: Db, tenant_id: str, agent_id: str) -> tuple[SpoolSequences, ...]:
    """What is known of all the agent's batches."""
    spools: dict[str, dict[Account, list[Stretch]]] = {}
    for _, spool_id, account, *stretch in await db.fetch(_OF_AGENT, tenant_id, agent_id):
        accounts = spools.setdefault(spool_id, {each: [] for each in Account})
        accounts[Account(account)].append(Stretch(*stretch))
    return tuple(
        SpoolSequences(
            spool_id=spool_id,
            stored=tuple(accounts[Account.STORED]),
            declared=Stretches(accounts[Account.DECLARED]).without(
                Stretches(accounts[Account.STORED])
            ),
        )
        for spool_id, accounts in spools.items()
    )


def _keys(rows: Iterable[Row]) -> dict[SpoolName, int]:
    return {SpoolName(*name): key for key, *name in rows}


def _columns(rows: Sequence[tuple[int | str, ...]]) -> list[list[object]]:
    """A list for each column of rows, of which there is at least one."""
    return [list(column) for column in zip(*rows, strict=True)]

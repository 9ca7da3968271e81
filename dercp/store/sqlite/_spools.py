"""The spools in memory: which of their batches are in the log, or declared."""

from enum import StrEnum
from typing import NamedTuple

import apsw

from dercp.model.completeness import Stretch, Stretches
from dercp.store.sqlite._connection import Row
from dercp.store.sqlite._rows import put_many

_SPOOLS = "SELECT spool_key, tenant_id, agent_id, spool_id FROM spool ORDER BY spool_key"
_PUT_SPOOL = "INSERT INTO spool (tenant_id, agent_id, spool_id) VALUES (?, ?, ?)"
_STRETCHES = """
SELECT spool_key, account, first, last, from_us, to_us FROM stretch
ORDER BY spool_key, account, first
"""
_DROP = "DELETE FROM stretch WHERE spool_key = ? AND account = ? AND first = ?"
_PUT = "INSERT OR REPLACE INTO stretch"


class SpoolName(NamedTuple):
    """What a spool is called outside."""

    tenant_id: str
    agent_id: str
    spool_id: str


class Account(StrEnum):
    """How a batch is accounted for."""

    STORED = "stored"
    DECLARED = "declared"


class Spool:
    """One spool of an agent."""

    def __init__(self, key: int) -> None:
        self.key = key
        self.accounts = {account: Stretches() for account in Account}

    @property
    def stored(self) -> Stretches:
        """Batches that are or were in the log."""
        return self.accounts[Account.STORED]

    @property
    def declared(self) -> Stretches:
        """Batches declared lost, whether they came after all or not."""
        return self.accounts[Account.DECLARED]


class Spools:
    """All spools of the log, and what of them the file does not know yet."""

    def __init__(self, db: apsw.Connection) -> None:
        self._by_name: dict[SpoolName, Spool] = {}
        self._by_agent: dict[tuple[str, str], list[tuple[str, Spool]]] = {}
        self._changed: dict[Row, Stretch | None] = {}
        self.by_key: dict[int, Spool] = {}
        self.stretches = 0
        for key, *name in db.execute(_SPOOLS):
            self._take(SpoolName(*name), key)
        known: dict[tuple[int, str], list[Stretch]] = {}
        for key, account, *stretch in db.execute(_STRETCHES):
            known.setdefault((key, account), []).append(Stretch(*stretch))
        for (key, account), stretches in known.items():
            self.by_key[key].accounts[Account(account)] = Stretches(stretches)
            self.stretches += len(stretches)

    def of_agent(self, tenant_id: str, agent_id: str) -> list[tuple[str, Spool]]:
        """The agent's spools by id, that seen first in front."""
        return self._by_agent.get((tenant_id, agent_id), [])

    def find(self, db: apsw.Connection, name: SpoolName) -> Spool:
        """The spool of that name, made if it is new."""
        spool = self._by_name.get(name)
        if spool is None:
            db.execute(_PUT_SPOOL, name)
            spool = self._take(name, db.last_insert_rowid())
        return spool

    def account_for(self, spool: Spool, account: Account, stretch: Stretch) -> None:
        """Take in a stretch; `save` writes it."""
        touched, grown = spool.accounts[account].add(stretch)
        for gone in touched:
            if gone.first != grown.first:
                self._changed[spool.key, account, gone.first] = None
        self._changed[spool.key, account, grown.first] = grown
        self.stretches += 1 - len(touched)

    def save(self, db: apsw.Connection) -> None:
        """Write what has changed since the last time."""
        gone = [key for key, stretch in self._changed.items() if stretch is None]
        db.executemany(_DROP, gone)
        put_many(
            db,
            _PUT,
            [
                (*key, stretch.last, stretch.from_us, stretch.to_us)
                for key, stretch in self._changed.items()
                if stretch is not None
            ],
        )
        self._changed.clear()

    def _take(self, name: SpoolName, key: int) -> Spool:
        spool = self._by_name[name] = self.by_key[key] = Spool(key)
        self._by_agent.setdefault((name.tenant_id, name.agent_id), []).append(
            (name.spool_id, spool)
        )
        return spool

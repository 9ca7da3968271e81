"""A snapshot of the tree, for operators."""

from dataclasses import dataclass

from actors._mailbox import MailboxStatistics
from actors._state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One actor or supervisor as it was when asked.

    Attributes:
        name: Among its siblings.
        path: In the system.
        kind: "actor" or "supervisor".
        state: What it was doing.
        restarts: How many incarnations came before this one.
        mailbox: What its mailbox has seen; None for a supervisor.
        children: In start order; for an actor the supervisors it opened itself.
    """

    name: str
    path: str
    kind: str
    state: State
    restarts: int
    mailbox: MailboxStatistics | None
    children: "tuple[Node, ...]"

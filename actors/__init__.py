"""Supervised actors on Trio."""

from actors._actor import Actor, Context
from actors._envelope import Envelope
from actors._errors import (
    ActorCrashed,
    ActorError,
    ActorStopped,
    AskExpired,
    MailboxFull,
    MessageDropped,
    NameTaken,
    Refusal,
    RestartsExceeded,
)
from actors._events import (
    Crashed,
    DeadLetter,
    Ending,
    Escalated,
    Event,
    EventStatistics,
    EventStream,
    Overflowed,
    Restarted,
    Started,
    Stopped,
    Undelivered,
)
from actors._mailbox import MailboxStatistics
from actors._mailbox_spec import MailboxSpec, OnFull
from actors._ref import ActorStatistics, Question, Ref, SupervisorRef, SupervisorStatistics
from actors._registry import Registry
from actors._restart import Backoff, Lifetime, Restart, Strategy
from actors._slot import Held, Slot, SlotStatistics, put_all
from actors._spec import ChildSpec, SupervisorSpec
from actors._state import State
from actors._supervisor import open_supervisor
from actors._system import System, SystemStatistics, open_system
from actors._tree import Node

__all__ = [
    "Actor",
    "ActorCrashed",
    "ActorError",
    "ActorStatistics",
    "ActorStopped",
    "AskExpired",
    "Backoff",
    "ChildSpec",
    "Context",
    "Crashed",
    "DeadLetter",
    "Ending",
    "Envelope",
    "Escalated",
    "Event",
    "EventStatistics",
    "EventStream",
    "Held",
    "Lifetime",
    "MailboxFull",
    "MailboxSpec",
    "MailboxStatistics",
    "MessageDropped",
    "NameTaken",
    "Node",
    "OnFull",
    "Overflowed",
    "Question",
    "Ref",
    "Refusal",
    "Registry",
    "Restart",
    "Restarted",
    "RestartsExceeded",
    "Slot",
    "SlotStatistics",
    "Started",
    "State",
    "Stopped",
    "Strategy",
    "SupervisorRef",
    "SupervisorSpec",
    "SupervisorStatistics",
    "System",
    "SystemStatistics",
    "Undelivered",
    "open_supervisor",
    "open_system",
    "put_all",
]

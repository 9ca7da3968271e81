"""What a supervisor is told about a child."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from actors._mailbox_spec import MailboxSpec
from actors._restart import Lifetime, Restart, Strategy

if TYPE_CHECKING:
    from actors._actor import Actor

M = TypeVar("M")


# Without slots: CPython 3.11 cannot make `ChildSpec[X](...)` of a frozen generic with slots.
@dataclass(frozen=True, kw_only=True)
class ChildSpec(Generic[M]):
    """How to build an actor, again and again.

    Attributes:
        name: Its name among its siblings, without "/".
        factory: Builds the state of one incarnation; called anew for each.
        mailbox: The bound and policy of its mailbox.
        lifetime: When it is restarted.
        grace_s: How long a stop lets it handle its mail before it is cancelled, and then
            how long `on_stop` may take. 0 cancels at once, and leaves `on_stop` no time to wait.
        start_within_s: How long `on_start` may take before it counts as failed.
    """

    name: str
    factory: "Callable[[], Actor[M]]"
    mailbox: MailboxSpec[M]
    lifetime: Lifetime = Lifetime.PERMANENT
    grace_s: float = 5.0
    start_within_s: float = 60.0

    def __post_init__(self) -> None:
        check_name(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSpec:
    """How to supervise some children.

    Attributes:
        name: Its name among its siblings, without "/".
        strategy: Which siblings are restarted with a child that crashed.
        restart: How many restarts it grants, and how fast.
        children: Started in this order when the supervisor starts; more can be started
            later, and are kept through a restart of the supervisor like these.
        lifetime: When it is restarted itself.
        grace_s: How long its ordered stop may take altogether before the rest is cancelled.
    """

    name: str
    strategy: Strategy = Strategy.ONE_FOR_ONE
    restart: Restart = field(default_factory=Restart)
    children: "tuple[AnySpec, ...]" = ()
    lifetime: Lifetime = Lifetime.PERMANENT
    grace_s: float = 30.0

    def __post_init__(self) -> None:
        check_name(self.name)
        names = [child.name for child in self.children]
        if len(set(names)) < len(names):
            raise ValueError(f"SupervisorSpec: two children of {self.name} share a name: {names}")


AnySpec: TypeAlias = ChildSpec[Any] | SupervisorSpec


def check_name(name: str) -> None:
    """A path must read back into its names."""
    if not name or "/" in name:
        raise ValueError(f'a name must not be empty nor contain "/", got {name!r}')

"""The topics of Sparkplug B, version 3.0."""

from typing import Final

import msgspec

from adapters.mqtt.sparkplug_host import Kind

__all__ = ["Address", "NodeId", "filter_of"]

NAMESPACE: Final = "spBv1.0"


class NodeId(msgspec.Struct, frozen=True):
    """An edge node."""

    group: str
    node: str

    @property
    def topic_filter(self) -> str:
        """All messages from the node and its devices, and those to them."""
        return f"{NAMESPACE}/{self.group}/+/{self.node}/#"

    def command_topic(self, device: str | None) -> str:
        """Where the node, or a device of it, takes commands."""
        if device is None:
            return f"{NAMESPACE}/{self.group}/NCMD/{self.node}"
        return f"{NAMESPACE}/{self.group}/DCMD/{self.node}/{device}"


class Address(msgspec.Struct, frozen=True):
    """What the topic of a node's message says; `device` is None for the node itself."""

    kind: Kind
    node: NodeId
    device: str | None

    @classmethod
    def parse(cls, topic: str) -> "Address | None":
        """Read a topic; None for those that do not come from a node."""
        match topic.split("/"):
            case [namespace, group, kind, node, *rest] if (
                namespace == NAMESPACE and kind in _KINDS and len(rest) <= 1
            ):
                return cls(_KINDS[kind], NodeId(group, node), rest[0] if rest else None)
        return None

    @property
    def topic(self) -> str:
        """The topic."""
        base = f"{NAMESPACE}/{self.node.group}/{self.kind}/{self.node.node}"
        return base if self.device is None else f"{base}/{self.device}"


_KINDS: Final = {str(kind): kind for kind in Kind}


def filter_of(topic: str) -> str:
    """The subscription that a message came by: its node's, or its very topic."""
    match topic.split("/"):
        case [namespace, group, _, node, *_] if namespace == NAMESPACE:
            return NodeId(group, node).topic_filter
    return topic


def state_topic(host_id: str) -> str:
    """Where a host application says that it is there."""
    return f"{NAMESPACE}/STATE/{host_id}"

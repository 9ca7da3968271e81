"""The connection to one server. All of it runs in asyncio's world, as work of a bridge."""

import asyncio  # noqa: TID251  # see above
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from asyncua import Client, Node, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.crypto.uacrypto import CertProperties

from adapters import DeviceError
from adapters.opcua._options import OpcUaOptions, Security

__all__ = ["Link", "moment_us", "open_link"]

REQUEST_WITHIN_S: Final = 4.0
QUEUED_PER_NODE: Final = 1


class Link:
    """An open session and what its subscription has told.

    Attributes:
        latest: By key, the newest value of each node that is watched.
        complete: Each of them has told a value.
        lost: Why the connection is gone; "" while it is there.
    """

    def __init__(self, client: Client) -> None:
        self.latest: dict[str, ua.DataValue] = {}
        self.complete = asyncio.Event()
        self.lost = ""
        self._client = client
        self._keys: dict[ua.NodeId, str] = {}
        client.connection_lost_callback = self._connection_lost

    async def node(self, name: str) -> Node:
        """The node of an id, or of a path of browse names from Objects.

        Raises:
            DeviceError: There is none.
        """
        try:
            if name.startswith("nsu="):
                uri, _, rest = name.removeprefix("nsu=").partition(";")
                name = f"ns={await self._client.get_namespace_index(uri)};{rest}"
            if "=" in name:
                return self._client.get_node(name)
            return await self._client.nodes.objects.get_child(name.split("/"))
        except (ua.UaError, ValueError) as error:
            raise DeviceError(f"{name}: the server has no such node ({error!r})") from error

    async def watch(self, names: Mapping[str, str], every_s: float) -> None:
        """Be told of these nodes, by key."""
        nodes = {key: await self.node(name) for key, name in names.items()}
        self._keys = {node.nodeid: key for key, node in nodes.items()}
        subscription = await self._client.create_subscription(every_s * 1000, self)
        handles = await subscription.subscribe_data_change(
            list(nodes.values()), queuesize=QUEUED_PER_NODE, sampling_interval=every_s * 1000
        )
        for key, handle in zip(nodes, handles, strict=True):
            if isinstance(handle, ua.StatusCode):
                raise DeviceError(f"{names[key]}: it cannot be watched ({handle.name})")

    def datachange_notification(self, node: Node, _value: object, data: Any) -> None:
        """Asyncua's subscription tells."""
        key = self._keys.get(node.nodeid)
        if key is not None:
            self.latest[key] = data.monitored_item.Value
            if len(self.latest) == len(self._keys):
                self.complete.set()

    def status_change_notification(self, status: ua.StatusChangeNotification) -> None:
        """The server has ended the subscription."""
        self.lost = f"the subscription has ended ({ua.StatusCode(status.Status.value).name})"

    async def read(self, node: Node) -> ua.DataValue:
        """Ask for a value now."""
        return await node.read_data_value(raise_on_bad_status=False)

    async def kind(self, node: Node) -> ua.VariantType:
        """Which built-in type a node takes.

        Raises:
            DeviceError: It takes no numbers.
        """
        kind = await node.read_data_type_as_variant_type()
        if kind not in _NUMERIC:
            raise DeviceError(f"{node.nodeid.to_string()}: expected a number, it is {kind.name}")
        return kind

    async def write(self, node: Node, kind: ua.VariantType, number: float) -> None:
        """Write a value alone: many servers refuse one with a status or a time.

        Raises:
            DeviceError: The server says no.
        """
        value: float | int | bool = number
        if kind is ua.VariantType.Boolean:
            value = bool(number)
        elif kind not in _FLOATING:
            value = round(number)
        code = await node.write_value(ua.DataValue(ua.Variant(value, kind)))
        if isinstance(code, ua.StatusCode) and code.is_bad():
            raise DeviceError(f"{node.nodeid.to_string()}: {code.name}")

    async def _connection_lost(self, error: Exception) -> None:
        self.lost = self.lost or f"the connection is gone ({error})"

    async def close(self) -> None:
        """Part with the server."""
        await self._client.disconnect()


async def open_link(options: OpcUaOptions) -> Link:
    """Connect, and come in.

    Raises:
        DeviceError: The server is not there, or does not let us in.
    """
    # It writes a traceback for each connection that breaks.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    client = Client(options.endpoint, timeout=REQUEST_WITHIN_S)
    client.application_uri = options.application_uri
    try:
        await _secure(client, options)
        await client.connect()
    except (TimeoutError, ua.UaError, OSError, ValueError) as error:
        raise DeviceError(f"{options.endpoint}: {_sentence(error)}") from error
    return Link(client)


async def _secure(client: Client, options: OpcUaOptions) -> None:
    if options.security is Security.BASIC256SHA256:
        assert options.cert_file and options.key_file and options.server_cert_file  # noqa: S101, PT018  # the options were checked
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            _file(options.cert_file),
            _file(options.key_file),
            server_certificate=_file(options.server_cert_file),
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )
    if options.user is not None:
        client.set_user(options.user)
        client.set_password(options.password or "")
    if options.user_cert_file is not None and options.user_key_file is not None:
        certificate, key = _file(options.user_cert_file), _file(options.user_key_file)
        await client.load_client_certificate(certificate.path_or_content, certificate.extension)
        await client.load_private_key(key.path_or_content, extension=key.extension)


def _file(name: str) -> CertProperties:
    content = Path(name).read_bytes()
    is_text = content.lstrip().startswith(b"-----BEGIN")
    return CertProperties(content, "pem" if is_text else "der")


def _sentence(error: Exception) -> str:
    return str(error) or repr(error)


def moment_us(moment: datetime | None) -> int:
    """An instant of the server's; 0 = it states none."""
    if moment is None:
        return 0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1e6)


_FLOATING: Final = frozenset({ua.VariantType.Double, ua.VariantType.Float})
_NUMERIC: Final = _FLOATING | {
    ua.VariantType.Boolean,
    ua.VariantType.SByte,
    ua.VariantType.Byte,
    ua.VariantType.Int16,
    ua.VariantType.UInt16,
    ua.VariantType.Int32,
    ua.VariantType.UInt32,
    ua.VariantType.Int64,
    ua.VariantType.UInt64,
}

"""Devices that are OPC UA servers (asyncua, which is under the LGPL: the extra `opcua`)."""

from adapters._extras import needs_extra

with needs_extra("opcua"):
    from adapters.opcua._device import OpcUaAdapter
    from adapters.opcua._options import OpcUaOptions

__all__ = ["OpcUaAdapter", "OpcUaOptions"]

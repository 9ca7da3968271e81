"""Modbus devices by a register map in site.toml, over TCP or RTU framing on TCP."""

from adapters._extras import needs_extra

with needs_extra("modbus"):
    from adapters.modbus._device import ModbusAdapter
    from adapters.modbus._options import ModbusOptions

__all__ = ["ModbusAdapter", "ModbusOptions"]

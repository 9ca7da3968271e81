"""Modbus devices by a register map in site.toml, over TCP or RTU framing on TCP."""

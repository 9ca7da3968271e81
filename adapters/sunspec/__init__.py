"""SunSpec devices on Modbus TCP: inverters, batteries and meters that describe themselves.

The device's models are found on opening; docs/edge.md says which points come from which.
"""

from adapters._extras import needs_extra

with needs_extra("modbus"):
    from adapters.sunspec._description import describe
    from adapters.sunspec._device import SunSpecAdapter
    from adapters.sunspec._options import SunSpecOptions

__all__ = ["SunSpecAdapter", "SunSpecOptions", "describe"]

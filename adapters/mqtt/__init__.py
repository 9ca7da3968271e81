"""Devices behind an MQTT broker: JSON messages, or Sparkplug B with us as its host.

docs/edge.md has the options.
"""

from adapters._extras import needs_extra

with needs_extra("mqtt"):
    from adapters.mqtt._adapter import MqttAdapter
    from adapters.mqtt._options import MqttOptions

__all__ = ["MqttAdapter", "MqttOptions"]

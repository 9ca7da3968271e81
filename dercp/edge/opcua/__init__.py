"""The OPC UA server of an edge: the site's SCADA sees the assets and gives setpoints.

docs/opcua.md describes the namespace. Only `surface` and what it imports need asyncua (the
extra `opcua`); `settings` and `passwords` do not. What awaits asyncua's coroutines runs as work
of a bridge (`adapters._bridge`); everything else is Trio's.
"""

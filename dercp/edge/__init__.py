"""The edge agent: the supervised process on a site PC that speaks for its assets.

`load` reads `site.toml`, `run_agent` lives by it. Several agents run in one process
without knowing of each other.
"""

from dercp.edge.agent import Agent, run_agent
from dercp.edge.config.loader import AdapterCatalog, check, installed_adapters, load
from dercp.edge.config.settings import Config
from dercp.edge.config.toml_reader import ConfigError
from dercp.edge.status import AgentStatus
from dercp.edge.uplink.uplink import Dial

__all__ = [
    "AdapterCatalog",
    "Agent",
    "AgentStatus",
    "Config",
    "ConfigError",
    "Dial",
    "check",
    "installed_adapters",
    "load",
    "run_agent",
]

"""Puts this folder on the import path: `memory_store` and `plant` serve several parts."""

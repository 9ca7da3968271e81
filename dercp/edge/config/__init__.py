"""`site.toml`: as it is written, read, and checked."""

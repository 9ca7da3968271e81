"""Agents: their calls, their sessions, and what comes in with them."""

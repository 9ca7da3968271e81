"""Dispatches: handed in, planned, divided, delivered, followed to their end."""

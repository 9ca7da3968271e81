"""One asset: its device, and the leases on it."""

"""How patiently the headend restarts its parts."""

from actors import Backoff, Restart

RESTART = Restart(
    limit=10,
    within_s=60.0,
    backoff=Backoff(first_s=0.1, max_s=10.0, jitter=0.2, reset_after_s=60.0),
)
"""Ten restarts a minute; one more and the supervisor above is asked."""

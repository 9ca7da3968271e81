"""How patiently the headend restarts its parts."""

from actors import Backoff, Restart

_BACKOFF = Backoff(first_s=0.1, max_s=10.0, jitter=0.2, reset_after_s=60.0)

RESTART = Restart(limit=10, within_s=60.0, backoff=_BACKOFF)
"""For a few parts: ten restarts a minute; one more and the supervisor above is asked."""

SITES_RESTART = Restart(limit=100, within_s=60.0, backoff=_BACKOFF)
"""For thousands of sites under one supervisor, which share its limit."""

ASSETS_RESTART = Restart(limit=1_000, within_s=60.0, backoff=_BACKOFF)
"""For up to ten thousand assets of one site: a fault that hits a tenth of them is the site's."""

"""How a site's dispatch goes: the sum of its assets against what was written to them. Pure.

Measured against what was written, as for a single asset: what has no place or has failed is
told by the placement, and is no deviation of those who do what they confirmed. While one of
them is not known the sum is not known either; that time counts as neither.
"""

from msgspec.structs import replace

from dercp.edge.site.assets import Sum
from dercp.edge.site.state import Sharing
from dercp.model.following import Following, follow, observe, redirect
from dercp.model.time import us_from_s

__all__ = ["observed"]


def observed(sharing: Sharing, seen: Sum, now_s: float) -> Following:
    """Take in what the assets in force do together now."""
    now_us, until_us = us_from_s(now_s), us_from_s(sharing.lease.until_s)
    following = sharing.following
    if following is None:
        following = follow(
            seen.written_mw,
            from_us=now_us,
            until_us=until_us,
            tolerance=seen.tolerance,
            interval_s=seen.interval_s,
        )
    elif seen.power_mw is not None:
        following = redirect(following, now_us, seen.written_mw, until_us)
    following = replace(following, tolerance=seen.tolerance)
    return observe(following, now_us, seen.power_mw, seen.quality)

"""Of which time: what --from, --to and --last say together."""

import msgspec

from dercp.cli.exits import CommandError, Exit
from dercp.cli.parse import Duration, Moment
from dercp.model.time import TimeError, format_rfc3339, us_from_s


class Span(msgspec.Struct, frozen=True):
    """From when (in) to when (out), in microseconds of Unix time."""

    from_us: int
    to_us: int

    @property
    def query(self) -> dict[str, str]:
        """As the API wants it."""
        return {"from": format_rfc3339(self.from_us), "to": format_rfc3339(self.to_us)}

    def share_before(self, time_us: int) -> float:
        """How much of it lies before that time: 0 to 1."""
        return min(max((time_us - self.from_us) / (self.to_us - self.from_us), 0.0), 1.0)


def read_span(from_: Moment | None, to: Moment, last: Duration | None, *, now_us: int) -> Span:
    """From one time to another, or so long before it.

    Raises:
        CommandError: That is nothing, or not clear; the sentence names the option.
    """
    to_us = to.resolve(now_us)
    match from_, last:
        case Moment(), None:
            from_us = from_.resolve(now_us)
        case None, Duration():
            from_us = to_us - us_from_s(last.seconds)
        case _:
            raise CommandError("give either --from or --last", code=Exit.USAGE)
    try:
        begin, end = format_rfc3339(from_us), format_rfc3339(to_us)
    except TimeError as error:
        raise CommandError(f"--from, --to: {error}", code=Exit.USAGE) from None
    if from_us >= to_us:
        raise CommandError(f"--from: {begin} is not before --to, {end}", code=Exit.USAGE)
    return Span(from_us, to_us)

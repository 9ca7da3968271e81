"""Changes that must not undo somebody else's: If-Match and If-None-Match (RFC 9110, 13.1)."""

from collections.abc import Mapping

from werkzeug.http import parse_etags

from dercp.api.problems import PRECONDITION_FAILED, PRECONDITION_REQUIRED, Refusal

IF_MATCH = "If-Match"
IF_NONE_MATCH = "If-None-Match"

HEADERS = {
    IF_MATCH: "ETag of what is to be changed, or *; required where there is something",
    IF_NONE_MATCH: "*: only where there is nothing yet",
}


def tag_of(revision: int) -> str:
    """The ETag of a revision."""
    return f'"{revision}"'


def check_preconditions(headers: Mapping[str, str], revision: int) -> None:
    """Refuse a change of what the request does not know; `revision` 0: there is nothing now.

    Raises:
        Refusal: `precondition-failed` or `precondition-required`.
    """
    wanted, unwanted = headers.get(IF_MATCH), headers.get(IF_NONE_MATCH)
    if unwanted is not None and revision and parse_etags(unwanted).contains_weak(str(revision)):
        raise changed(revision)
    if wanted is not None:
        if not revision or not parse_etags(wanted).contains(str(revision)):
            raise changed(revision)
    elif revision:
        raise Refusal(
            PRECONDITION_REQUIRED,
            f"{IF_MATCH}: is required to change what is there; its ETag is {tag_of(revision)}",
        )


def changed(revision: int) -> Refusal:
    """The refusal of a change that was meant for another state than this one."""
    now = f"its ETag is {tag_of(revision)} now" if revision else "there is none now"
    return Refusal(PRECONDITION_FAILED, now)

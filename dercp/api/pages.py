"""What is read in a browser: the description of the API and what its problems mean."""

from importlib.resources import files
from typing import Any

from dercp.api.problems import CATALOGUE, NOT_FOUND, Refusal
from dercp.api.queries import Query
from dercp.api.routes import Call, Reply

# Own files only: sites without the internet read them too.
DOCS_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_static = files("dercp.api") / "static"
_docs_html = (_static / "docs.html").read_bytes()
_docs_css = (_static / "docs.css").read_bytes()
_docs_js = (_static / "docs.js").read_bytes()
_meanings = {kind.slug: kind for kind in CATALOGUE}


async def openapi(call: Call[Query]) -> Reply[dict[str, Any]]:
    """This description, as OpenAPI 3.1."""
    return Reply(content=call.services.openapi)


async def docs(_call: Call[Query]) -> Reply[str]:
    """This description, to read and to try."""
    return Reply(content=_docs_html, headers={"Content-Security-Policy": DOCS_CSP})


async def docs_css(_call: Call[Query]) -> Reply[str]:
    """How the documentation looks."""
    return Reply(content=_docs_css)


async def docs_js(_call: Call[Query]) -> Reply[str]:
    """How the documentation is rendered."""
    return Reply(content=_docs_js)


async def problem(call: Call[Query]) -> Reply[str]:
    """What a type of problem means and what to do about it."""
    kind = _meanings.get(call.id)
    if kind is None:
        raise Refusal(NOT_FOUND, f"there is no problem type {call.id[:80]!r}")
    text = f"{kind.title} ({kind.status})\n\n{kind.meaning}\n"
    return Reply(content=text.encode())

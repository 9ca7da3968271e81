"""A headend's API for the commands: what it holds is set by the test, what it was asked is kept."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from dercp.cli.clock import Pause

T0 = "2026-11-23T14:00:00.250000Z"
T0_S = 1_795_442_400.25
Answer = httpx.Response | Exception


def asset(number: int, **changes: object) -> dict[str, Any]:
    """An asset, with a member that this release does not know."""
    return {
        "id": f"bess-{number}",
        "site_id": "north",
        "agent_id": "north-edge",
        "kind": "storage",
        "name": f"Battery {number}",
        "p_min_mw": -2.0,
        "p_max_mw": 2.0,
        "energy_capacity_mwh": 4.0,
        "online": True,
        "stale": False,
        "age_s": 0.4,
        "of_a_later_release": [1, 2],
    } | changes


def telemetry(number: int, **changes: object) -> dict[str, Any]:
    """The latest of an asset."""
    return {
        "asset_id": f"bess-{number}",
        "site_id": "north",
        "source_time": T0,
        "ingest_time": T0,
        "age_s": 0.4,
        "stale": False,
        "points": {
            "active_power_mw": {"value": 1.25, "unit": "MW", "quality": "good"},
            "soc_pct": {"value": 48.06, "unit": "%", "quality": "good"},
            "setpoint_mw": {"value": None, "unit": "MW", "quality": "bad", "reasons": []},
        },
    } | changes


def agent(**changes: object) -> dict[str, Any]:
    """An agent with a session."""
    session = {
        "id": "north-edge:2",
        "epoch": 2,
        "peer": "10.0.0.7:40000",
        "connected_time": T0,
        "disconnected_time": None,
        "reason": None,
    }
    ended = session | {"epoch": 1, "disconnected_time": T0, "reason": "link_lost"}
    return {
        "id": "north-edge",
        "site_id": "north",
        "site_name": "North field",
        "status": "connected",
        "peer": "10.0.0.7:40000",
        "session": session,
        "recent_sessions": [ended],
        "assets": ["bess-1"],
        "flaps": 0,
        "clock_offset_s": -0.0001,
        "spool": {"batches": 1234, "oldest_age_s": 720.0, "trouble": None},
        "software_version": "0.1.0",
    } | changes


def dispatch(*states: str, **changes: object) -> dict[str, Any]:
    """A dispatch that has come through these states."""
    return {
        "id": "0193",
        "state": states[-1],
        "target": {"asset_id": "bess-1"},
        "setpoint_mw": -0.5,
        "until": "2026-11-23T14:10:00Z",
        "readback_mw": -0.5 if states[-1] == "applied" else None,
        "timeline": [{"state": state, "time": T0, "source": "headend"} for state in states],
    } | changes


def placement(*shares: dict[str, Any], **sums: float) -> dict[str, Any]:
    """How a setpoint of -0.5 MW is shared."""
    usual = {"placed_mw": -0.5, "pending_mw": 0.0, "failed_mw": 0.0, "unplaced_mw": 0.0}
    return {"round": 1, "shares": list(shares)} | usual | sums


def portfolio(**changes: object) -> dict[str, Any]:
    """A portfolio of a site and an asset."""
    return {
        "id": "east",
        "name": "The east",
        "sites": ["north"],
        "assets": ["pv-1"],
        "revision": 3,
    } | changes


def problem(status: int, detail: str, *faults: str) -> httpx.Response:
    """A refusal (RFC 9457)."""
    errors = [{"pointer": "#/x", "detail": fault} for fault in faults]
    body = {"type": "/problems/x", "title": "No", "status": status, "detail": detail}
    return httpx.Response(status, json=body | ({"errors": errors} if errors else {}))


class FakeApi:
    """Answers from scripts; the last answer of a script is repeated."""

    def __init__(self) -> None:
        self.scripts: dict[str, list[Answer]] = {}
        self.asked: list[httpx.Request] = []

    def on(self, path: str, *answers: Answer | dict[str, Any]) -> "FakeApi":
        """What is answered at a path, one after the other."""
        self.scripts[path] = [
            httpx.Response(200, json=each) if isinstance(each, dict) else each for each in answers
        ]
        return self

    def items(self, path: str, *items: dict[str, Any]) -> "FakeApi":
        """A list of one page."""
        return self.on(path, {"items": list(items), "next": None})

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request, as httpx.MockTransport wants it."""
        self.asked.append(request)
        script = self.scripts.get(request.url.path)
        if script is None:
            return problem(404, f"there is no {request.url.path}")
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)


@contextmanager
def served(answer: Callable[[httpx.Request], httpx.Response]) -> Iterator[str]:
    """The fake behind a real port, for whole commands; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url = f"http://fake{self.path}"
            response = answer(
                httpx.Request(self.command, url, content=content, headers=dict(self.headers))
            )
            self.send_response(response.status_code)
            self.send_header("Content-Length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None:
            """Nothing: the tests look at `asked`."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class FakePause(Pause):
    """Time that passes only by sleeping; ends like Ctrl-C after so many sleeps."""

    def __init__(self, sleeps_max: int = 1_000) -> None:
        self.clock_s = 1_000.0
        self.left = sleeps_max

    def now_s(self) -> float:
        """Seconds on this clock."""
        return self.clock_s

    def utc_s(self) -> float:
        """Ten minutes before the dispatch of the fake ends."""
        return T0_S + self.clock_s - 1_000.0

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.clock_s += seconds


def parsed(text: str) -> Any:
    """What was printed, as a program reads it."""
    return json.loads(text)

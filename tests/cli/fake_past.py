"""A headend's history for the commands: in parts as the API gives it, and what may go wrong."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpx
from fake_api import Answer, asset, problem

from dercp.cli.span import Span
from dercp.model.time import format_rfc3339, parse_rfc3339

BEGIN = "2026-11-23T13:00:00Z"
END = "2026-11-23T14:00:00Z"
HOUR = Span(parse_rfc3339(BEGIN), parse_rfc3339(END))
POINTS = {"active_power_mw": "MW", "soc_pct": "%"}
_HISTORY = re.compile(r"/assets/([^/]+)/history")


def sample(second: int, **values: float | None) -> dict[str, Any]:
    """A sample of that second of the hour, all of it good; without values of a battery."""
    time_us = HOUR.from_us + second * 1_000_000
    return {
        "source_time": format_rfc3339(time_us).replace(".000000", ""),
        "ingest_time": format_rfc3339(time_us + 50_000),
        "values": values or {"active_power_mw": second / 8, "soc_pct": 50.0},
    }


def samples(count: int) -> list[dict[str, Any]]:
    """One a second, from the begin of the hour."""
    return [sample(second) for second in range(count)]


def gap(**changes: object) -> dict[str, Any]:
    """Three batches that will never come."""
    return {
        "agent_id": "north-edge",
        "spool_id": "s",
        "first_sequence": 7,
        "last_sequence": 9,
        "from": "2026-11-23T13:10:00Z",
        "to": "2026-11-23T13:10:02Z",
        "samples": 30,
        "reason": "spool_full",
        "declared_time": "2026-11-23T13:20:00Z",
    } | changes


class FakePast:
    """Some assets of one agent with their samples, and perhaps gaps.

    Attributes:
        asked: All requests, as they came.
        trouble: Looks at each request first; what it returns is the answer.
    """

    def __init__(
        self,
        history: dict[str, Sequence[dict[str, Any]]],
        *,
        points: dict[str, str] | None = None,
        complete_until: str | None = END,
        gaps: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.history = history
        self.points = dict.fromkeys(history, points or POINTS)
        self.complete_until = complete_until
        self.gaps = gaps
        self.asked: list[httpx.Request] = []
        self.trouble: Callable[[httpx.Request], Answer | None] = lambda _request: None

    @property
    def transport(self) -> httpx.MockTransport:
        """For a client without a port."""
        return httpx.MockTransport(self)

    def limits(self) -> list[int]:
        """How many rows were asked for, part by part."""
        return [
            int(request.url.params["limit"])
            for request in self.asked
            if _HISTORY.fullmatch(request.url.path)
        ]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        self.asked.append(request)
        trouble = self.trouble(request)
        if isinstance(trouble, Exception):
            raise trouble
        return trouble or self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/assets":
            return _page(self._asset(name) for name in self.history)
        if path == "/gaps":
            return _page(self.gaps)
        if found := _HISTORY.fullmatch(path):
            if found[1] in self.history:
                return self._part(found[1], request)
        elif (name := path.removeprefix("/assets/")) in self.history:
            return httpx.Response(200, json=self._asset(name))
        return problem(404, f"there is no {path}")

    def _asset(self, name: str) -> dict[str, Any]:
        points = [{"name": name, "unit": unit} for name, unit in self.points[name].items()]
        return asset(1, id=name, points=points)

    def _part(self, name: str, request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        rows = self.history[name]
        match request.headers.get("Accept"):
            case "application/x-ndjson":
                return httpx.Response(200, text="".join(json.dumps(row) + "\n" for row in rows))
            case "text/csv":
                return httpx.Response(200, text="source_time\r\n" + END + "\r\n")
        begin = int(asked.get("cursor", "0"))
        end = begin + int(asked.get("limit", "1000"))
        wanted = asked["points"].split(",") if "points" in asked else self.points[name]
        return httpx.Response(
            200,
            json={
                "points": [{"name": each, "unit": self.points[name][each]} for each in wanted],
                "complete_until": self.complete_until,
                "bad_batches": 0,
                "next": str(end) if end < len(rows) else None,
                "buckets" if "resolution" in asked else "samples": rows[begin:end],
            },
        )


def _page(items: Iterable[dict[str, Any]]) -> httpx.Response:
    return httpx.Response(200, json={"items": list(items), "next": None})

"""A client for commands that take long: what the headend cannot answer now is asked again."""

from __future__ import annotations

from typing import TypeVar

import httpx

from dercp.cli.client import ApiClient, Unavailable
from dercp.cli.clock import Pause
from dercp.cli.exits import tell

# A headend that is started anew, on another machine at that, is back before this.
PATIENCE_S = 120.0
REST_S = 0.5
REST_MAX_S = 30.0
# Longer than the headend takes to say that it cannot.
ANSWER_WITHIN_S = 30.0
LIMIT_MAX = 10_000

T = TypeVar("T")


class PatientClient(ApiClient):
    """Reads through restarts and overload of the headend.

    Characteristics:
        Rests: as Retry-After says, at least twice as long each time, at most 30 s.
        Gives up: when a request has had no answer for `PATIENCE_S`.
        Asks for less: each time half as many rows, for too much stays too much; after an
            answer twice as many, up to `LIMIT_MAX`.
    """

    def __init__(
        self, url: str, pause: Pause, transport: httpx.BaseTransport | None = None
    ) -> None:
        super().__init__(url, transport, within_s=ANSWER_WITHIN_S)
        self._pause = pause
        self._limit = LIMIT_MAX

    def get(self, path: str, shape: type[T], **query: str | int | None) -> T:
        """One JSON document."""
        ends_s, rest_s = self._pause.now_s() + PATIENCE_S, REST_S
        while True:
            if isinstance(wanted := query.get("limit"), int):
                query["limit"] = min(wanted, self._limit)
            try:
                found = super().get(path, shape, **query)
            except Unavailable as error:
                wait_s = min(max(rest_s, error.retry_after_s), REST_MAX_S)
                if self._pause.now_s() + wait_s > ends_s:
                    raise
                if rest_s == REST_S:
                    tell("waiting", error.sentences[0])
                self._limit = max(1, self._limit // 2)
                self._pause.sleep(wait_s)
                rest_s *= 2
            else:
                self._limit = min(self._limit * 2, LIMIT_MAX)
                return found

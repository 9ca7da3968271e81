"""The actor that keeps a call open to the headend."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Final, NoReturn, TypeAlias

import structlog
import trio

from actors import Actor, Context
from dercp.edge.uplink import session as talk
from dercp.edge.uplink.conversation import Conversation, Line, Topics
from dercp.edge.uplink.session import Over, Session
from dercp.link import LinkError

__all__ = ["Dial", "Uplink", "UplinkHistory"]

# The last words of an agent that stops.
LEAVE_WITHIN_S: Final = 3.0

Dial: TypeAlias = Callable[[], AbstractAsyncContextManager[Line]]
"""Opens a call to the headend, in bounded time; raises a LinkError when that fails."""


class UplinkHistory:
    """How the talk with the headend goes, for whoever asks; outlives a crash of the uplink."""

    def __init__(self) -> None:
        self.conversation: Conversation | None = None
        self.last_end: Over | None = None
        self.calls = 0
        self.refusals = 0


class Uplink(Actor[NoReturn]):
    """Dials, talks, waits, and dials again.

    Characteristics:
        Waits: as the session's end says; full jitter up to 60 s when nothing better is known.
        Stops: after saying what waits, for at most `LEAVE_WITHIN_S`.
    """

    def __init__(
        self,
        dial: Dial,
        topics: Topics,
        history: UplinkHistory,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._dial = dial
        self._topics = topics
        self._history = history
        self._log = log

    async def run(self, context: Context[NoReturn]) -> None:
        """Keep connected until told to end, then part in order."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_connected, context)
            await context.wait_ending()
            conversation = self._history.conversation
            if conversation is None:
                nursery.cancel_scope.cancel("nobody is on the line")
            else:
                nursery.cancel_scope.deadline = trio.current_time() + LEAVE_WITHIN_S
                conversation.leave()

    async def _keep_connected(self, context: Context[NoReturn]) -> None:
        attempt = 0
        while not context.is_ending:
            over = await self._call(attempt)
            self._history.last_end = over
            wait_s = _wait_s(over, context.random)
            tell = self._log.error if over.loud else self._log.info
            tell("session_over", reason=over.reason, why=over.detail, next_call_s=round(wait_s, 1))
            attempt = over.next_attempt
            if not context.is_ending:
                await trio.sleep(wait_s)

    async def _call(self, attempt: int) -> Over:
        history = self._history
        history.calls += 1
        try:
            async with self._dial() as line:
                conversation = Conversation(line, self._topics, attempt, self._log)
                history.conversation = conversation
                session = await conversation.run()
                history.refusals += conversation.refusals
        except LinkError as error:
            session = _lost(talk.open_session(attempt, trio.current_time()), str(error))
        finally:
            history.conversation = None
        assert isinstance(session.phase, Over)  # noqa: S101 - both ways end there
        return session.phase


def _lost(session: Session, detail: str) -> Session:
    return talk.advance(session, talk.LinkLost(detail), trio.current_time()).session


def _wait_s(over: Over, random: Random) -> float:
    return over.wait_s + random.random() * over.spread_s

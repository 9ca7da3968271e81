"""How the agents of a process reach the headend, and what is counted on the way."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import trio
from msgspec.structs import replace

from dercp.link import ClientCall, LinkUnreachable, Status, client_tls, open_call, open_call_over
from dercp.wire import CONNECT_PATH
from sim.faulty_link import FaultyLink
from sim.link_faults import schedule
from sim.load.outages import CHAOS, struck
from sim.load.plan import Plan

__all__ = ["Links"]


class Links:
    """Opens calls: directly, or each agent's through a faulty link of its own.

    An outage ends calls and refuses new ones; the headend sees connections that were closed.
    What happens to bytes on their way (delay, loss without a word) is chaos's part.

    Characteristics:
        Bound: one call an agent; with chaos a proxy each.

    Raises:
        dercp.link.TlsFileError: The certificates cannot be used.
    """

    def __init__(self, plan: Plan, names: Iterable[str], nursery: trio.Nursery) -> None:
        self._plan = plan
        self._names = list(names)
        self._nursery = nursery
        target = plan.target
        self._tls = (
            None
            if target.ca_file is None
            else client_tls(target.ca_file, target.cert_file, target.key_file)
        )
        self._calls: dict[str, ClientCall] = {}
        self._away: set[str] = set()
        self._proxies = {name: self._proxy(name) for name in self._names} if plan.chaos else {}
        self._faults = trio.CancelScope()

    def open(self, name: str) -> AbstractAsyncContextManager[ClientCall]:
        """A call of this agent; raises a LinkError when there is none to be had."""
        return self._open(name)

    async def run_faults(self) -> None:
        """Let outages and chaos come to pass, beginning now, until `heal`."""
        began_s = trio.current_time()
        with self._faults:
            async with trio.open_nursery() as nursery:
                for proxy in self._proxies.values():
                    nursery.start_soon(proxy.run)
                befallen = struck(self._plan.outages, self._names, self._plan.fleet.seed)
                for outage, names in zip(self._plan.outages, befallen, strict=True):
                    from_s = began_s + outage.at_s
                    nursery.start_soon(self._be_away, names, from_s, from_s + outage.for_s)

    def heal(self) -> None:
        """End all faults, for good, and the calls that would never hear of it."""
        self._faults.cancel("the links are to be well")
        self._away.clear()
        for proxy in self._proxies.values():
            proxy.release()

    async def _be_away(self, names: Iterable[str], from_s: float, to_s: float) -> None:
        await trio.sleep_until(from_s)
        self._away.update(names)
        for name in names:
            if (call := self._calls.get(name)) is not None:
                call.leave()
        await trio.sleep_until(to_s)
        self._away.difference_update(names)

    @asynccontextmanager
    async def _open(self, name: str) -> AsyncIterator[ClientCall]:
        if name in self._away:
            await trio.lowlevel.checkpoint()
            raise LinkUnreachable(Status.UNAVAILABLE, "an outage of the scenario")
        async with self._call(name) as call:
            self._calls[name] = call
            try:
                yield call
            finally:
                self._calls.pop(name, None)

    def _call(self, name: str) -> AbstractAsyncContextManager[ClientCall]:
        target = self._plan.target
        if name not in self._proxies:
            return open_call(target.host, target.port, CONNECT_PATH, tls=self._tls)
        return self._proxied(self._proxies[name])

    @asynccontextmanager
    async def _proxied(self, proxy: FaultyLink) -> AsyncIterator[ClientCall]:
        target = self._plan.target
        near, carried = (trio.SocketStream(end) for end in trio.socket.socketpair())
        self._nursery.start_soon(proxy.carry, carried)
        async with open_call_over(near, CONNECT_PATH, host=target.host, tls=self._tls) as call:
            yield call

    def _proxy(self, name: str) -> FaultyLink:
        plan = self._plan
        limits = replace(CHAOS[plan.chaos], lasts_s=plan.lasts_s)
        return FaultyLink(
            partial(trio.open_tcp_stream, plan.target.host, plan.target.port),
            schedule(plan.fleet.seed, name, limits),
            seed=plan.fleet.seed,
        )

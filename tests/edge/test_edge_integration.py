"""The agent over a real socket, against a headend that follows a script."""

import time
from functools import partial
from pathlib import Path

import trio
import trustme
from edge_plant import FakeDevice, asset_config, config, dispatch, welcome

from dercp.edge.agent import LINK_PATH, Agent, run_agent
from dercp.edge.config.loader import installed_adapters, load
from dercp.link import Call, LinkServer, serve_link, server_tls
from dercp.model.asset import RegistrationLimits
from dercp.wire import v1
from dercp.wire.envelope import decode_uplink, encode_downlink
from dercp.wire.payload import PayloadSchema
from dercp.wire.registration import decode_registration


def real_clock() -> int:
    """This machine's clock."""
    return time.time_ns() // 1000


class Headend:
    """Welcomes whoever comes, orders one dispatch, and keeps all it is told."""

    def __init__(self, order: v1.Dispatch) -> None:
        self.order = order
        self.heard: list[v1.Uplink] = []
        self.ended = trio.Event()
        self._arrival = trio.Event()

    async def serve(self, call: Call) -> None:
        """Handle the call."""
        await self._hear(call)
        await call.send(encode_downlink(welcome(real_clock())))
        await call.send(encode_downlink(v1.Downlink(dispatch=self.order)))
        while await self._hear(call):
            pass
        self.ended.set()

    async def _hear(self, call: Call) -> bool:
        content = await call.receive()
        if content is None:
            return False
        self.heard.append(decode_uplink(content))
        self._arrival.set()
        self._arrival = trio.Event()
        return True

    async def wait_for(self, *states: v1.DispatchState) -> None:
        """Wait until the dispatch has been in each of these states."""
        while not {*states} <= {
            up.dispatch_update.state for up in self.heard if up.dispatch_update is not None
        }:
            await self._arrival.wait()


async def test_an_agent_reports_samples_and_executes_a_dispatch_over_a_real_socket() -> None:
    """Hello, telemetry that decodes, acked, applied, completed, released, and an orderly end."""
    device = FakeDevice()
    now_us = real_clock()
    headend = Headend(dispatch(now_us=now_us, until_in_s=0.4))
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            server: LinkServer = await nursery.start(
                partial(serve_link, listeners, {LINK_PATH: headend.serve})
            )
            settings = config(asset_config("bess-1", device, interval_s=0.05), port=server.port)
            async with trio.open_nursery() as running:
                agent: Agent = await running.start(
                    partial(run_agent, settings, clock=real_clock, seed=1)
                )
                await headend.wait_for(v1.DispatchState.APPLIED, v1.DispatchState.COMPLETED)
                session = agent.status().uplink.session
                running.cancel_scope.cancel()
            await headend.ended.wait()
            await server.drain(1)

    assert session is not None
    assert session.session_id == "s-1"
    assert device.told == ["release", 1.0, "release"]
    assert device.open_now == 0
    hello = headend.heard[0].hello
    assert hello is not None
    schema = PayloadSchema(decode_registration(hello.registration, RegistrationLimits()))
    batches = [up.telemetry for up in headend.heard if up.telemetry is not None]
    assert [batch.sequence for batch in batches] == list(range(1, len(batches) + 1))
    powers = [
        schema.readings(row)[0].value
        for batch in batches
        for row in schema.decode(batch.payload).rows
    ]
    assert set(powers) == {0.0, 1.0}


SITE = """
[agent]
id = "edge-1"
[headend]
address = "localhost:{port}"
tls = {{ ca_file = "ca.pem", cert_file = "agent.pem", key_file = "agent.key" }}
[site]
id = "site-1"
[[assets]]
id = "bess-1"
kind = "storage"
p_min_mw = -1
p_max_mw = 1
sample_interval_s = 0.05
adapter = "simulated"
"""


async def test_an_agent_is_configured_by_its_file_and_speaks_mutual_tls(tmp_path: Path) -> None:
    """From site.toml to a session that knows the agent's certificate."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name, identity in (("agent", "edge-1.example"), ("headend", "localhost")):
        issued = ca.issue_cert(identity)
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
    tls = server_tls(tmp_path / "headend.pem", tmp_path / "headend.key", tmp_path / "ca.pem")
    callers: list[tuple[str, ...]] = []
    headend = Headend(dispatch(now_us=real_clock(), setpoint_mw=0.5, until_in_s=60))

    async def serve(call: Call) -> None:
        callers.append(call.peer.sans)
        await headend.serve(call)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            server: LinkServer = await nursery.start(
                partial(serve_link, listeners, {LINK_PATH: serve}, tls=tls)
            )
            (tmp_path / "site.toml").write_text(SITE.format(port=server.port), encoding="utf-8")
            settings = load(tmp_path / "site.toml", installed_adapters())
            async with trio.open_nursery() as running:
                await running.start(partial(run_agent, settings, clock=real_clock))
                await headend.wait_for(v1.DispatchState.APPLIED)
                running.cancel_scope.cancel()
            await headend.ended.wait()
            await server.drain(1)

    assert callers == [("edge-1.example",)]
    last = [up.dispatch_update for up in headend.heard if up.dispatch_update is not None][-1]
    assert (last.state, last.reason) == (v1.DispatchState.CANCELLED, "edge_stopped")

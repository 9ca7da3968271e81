"""`dercp demo` as a newcomer meets it."""

import re
import signal

import trio
from processes import eventually, open_api, running

BATTERY = "demo-01-bess-1"


async def test_the_demo_serves_telemetry_obeys_a_dispatch_and_ends_at_ctrl_c() -> None:
    """Fresh samples; -0.5 MW applied within a second and measured; a clean, short end."""
    async with running(
        "demo", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--no-auth"
    ) as demo:
        greeting = await demo.wait_printed("Ctrl-C ends it.")
        url = re.search(r"API +(http://\S+)/docs", greeting)
        assert url is not None
        async with open_api(url[1]) as api:

            async def fresh() -> dict[str, object] | None:
                response = await api.http.get(f"/assets/{BATTERY}/telemetry")
                body: dict[str, object] = response.json()
                return body if response.is_success and not body["stale"] else None

            first = await eventually(fresh, within_s=20, what="a fresh sample")
            assert first["asset_id"] == BATTERY
            ids = [asset["id"] for asset in (await api.get("/assets"))["items"]]
            kinds = ("bess", "ev", "pv", "wind")
            assert ids == [f"demo-{site:02d}-{kind}-1" for site in (1, 2) for kind in kinds]

            taken = await api.dispatch("e2e-1", asset_id=BATTERY, setpoint_mw=-0.5, duration_s=60)
            applied = await api.wait_state(taken["id"], "applied", within_s=1)
            states = [entry["state"] for entry in applied["timeline"]]
            assert states == ["submitted", "sent", "acked", "applied"]

            async def points() -> dict[str, float]:
                latest = (await api.get(f"/assets/{BATTERY}/telemetry"))["points"]
                return {name: point["value"] for name, point in latest.items()}

            async def following() -> dict[str, float] | None:
                now = await points()
                return now if abs(now["active_power_mw"] + 0.5) <= 0.01 else None

            before = await eventually(following, within_s=5, what="-0.5 MW measured")
            await trio.sleep(3)
            after = await points()
            assert abs(after["active_power_mw"] + 0.5) <= 0.01
            assert after["soc_pct"] > before["soc_pct"]
        assert await demo.stop(signal.SIGINT) == 0
        assert "actor crashes" in demo.printed


async def test_a_demo_ends_by_itself_after_its_duration() -> None:
    """--duration needs nobody at the keyboard."""
    async with running(
        "demo", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--duration", "2"
    ) as demo:
        with trio.fail_after(20):
            assert await demo.process.wait() == 0


async def test_a_taken_port_is_a_sentence_not_a_traceback() -> None:
    """The user is told which address is not to be had, and exit code 69 tells scripts."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with running("demo", "--http", f"127.0.0.1:{port}", "--grpc", "127.0.0.1:0") as demo:
        with trio.fail_after(20):
            assert await demo.process.wait() == 69
        text = " ".join(str(line["event"]) for line in demo.log)
        assert "in use" in text
        assert "Traceback" not in text
    await listeners[0].aclose()

"""How the long-lived commands end: in order, soon, and at once when told twice."""

import signal
from pathlib import Path

import httpx
import trio
from processes import Dercp, open_api, running, site_toml

ANY = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")


async def _answers(url: str, *, until: int) -> list[int]:
    """What /readyz says, look after look, up to the first `until`."""
    seen: list[int] = []
    async with open_api(url) as api:
        while until not in seen:
            seen.append((await api.http.get("/readyz")).status_code)
            await trio.sleep(0.02)
    return seen


async def _printed_url(demo: Dercp) -> str:
    greeting = await demo.wait_printed("Ctrl-C ends it.")
    return greeting.partition("API")[2].split()[0].removesuffix("/docs")


async def test_sigterm_drains_the_headend(tmp_path: Path) -> None:
    """/readyz says no while it is still served, the agent is told to come back, exit code 0."""
    async with running("headend", *ANY, "--data-dir", str(tmp_path)) as headend:
        ready = await headend.wait_logged("headend_ready")
        site = site_toml(tmp_path, agent_id="north", grpc=ready["grpc"])
        async with running("edge", "--config", str(site)) as edge:
            await edge.wait_logged("session_live")
            headend.process.terminate()
            with trio.fail_after(10):
                seen = await _answers(ready["url"], until=httpx.codes.SERVICE_UNAVAILABLE)
                assert set(seen) <= {httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE}
                over = await edge.wait_logged("session_over", within_s=5)
                assert over["reason"] == "drained"
                assert await headend.process.wait() == 0
            closed = await headend.wait_logged("session_closed", within_s=1)
            assert closed["reason"] == "drained"
            assert await edge.stop() == 0


async def test_a_demo_stops_soon_under_the_eyes_of_its_watchers() -> None:
    """Neither an open `dercp watch` nor an idle keep-alive connection holds it up."""
    async with running("demo", *ANY) as demo:
        url = await _printed_url(demo)
        async with running("watch", "--url", url) as watch, open_api(url) as api:
            await watch.wait_printed("demo-01-bess-1")
            await api.get("/livez")
            assert await demo.stop(signal.SIGINT) == 0
            # The watcher waits for it to come back, and says so.
            told = await watch.wait_logged_text("watch:", within_s=10)
            assert "http://" in told
            assert await watch.stop(signal.SIGINT) == 0


async def test_a_second_signal_cuts_the_end_short(tmp_path: Path) -> None:
    """Whoever presses Ctrl-C twice means now; exit code 130 says that work was left."""
    async with running("headend", *ANY, "--data-dir", str(tmp_path)) as headend:
        await headend.wait_logged("headend_ready")
        headend.process.send_signal(signal.SIGINT)
        await headend.wait_logged("headend_stopping")
        assert await headend.stop(signal.SIGINT) == 130
        assert "cut short" in await headend.wait_logged_text("error:", within_s=1)


async def test_a_stop_during_the_start_is_an_end_in_order() -> None:
    """A signal that comes before the demo is up is not lost, and leaves no traceback."""
    async with running("demo", *ANY) as demo:
        await demo.wait_logged("listening")
        assert await demo.stop(signal.SIGTERM) == 0
        assert "ran 0 s" in demo.printed

"""A dispatch followed until it is applied, or never will be."""

import httpx
import pytest
from fake_api import FakeApi, FakePause, dispatch, problem

from dercp.cli.client import ApiClient
from dercp.cli.exits import CommandError, Exit
from dercp.cli.following import Follower, Order
from dercp.cli.parse import Duration

ORDER = Order("bess-1", -0.5, 600.0)


def follow(api: FakeApi, *, within_s: float = 10) -> list[str]:
    """Hand in and follow; what was said."""
    said: list[str] = []
    client = ApiClient("http://headend.example", httpx.MockTransport(api))
    follower = Follower(client, FakePause(), said.append)
    follower.follow(follower.submit(ORDER, "k"), Duration(within_s))
    return said


def test_each_state_is_told_once_until_it_is_applied() -> None:
    """And what the asset read back."""
    api = FakeApi().on("/dispatch", dispatch("submitted"))
    api.on(
        "/dispatches/0193", dispatch("submitted", "sent"), dispatch("submitted", "sent", "applied")
    )
    said = follow(api)
    assert said[0] == "dispatch 0193: bess-1 to -0.500 MW until 2026-11-23 14:10:00Z"
    assert [line.split()[1] for line in said[1:-1]] == ["submitted", "sent", "applied"]
    assert said[1].startswith("14:00:00.250Z")
    assert said[-1] == "the asset reads back -0.500 MW"


@pytest.mark.parametrize("state", ["rejected", "expired", "failed", "cancelled", "unknown"])
def test_another_end_is_a_failure_with_its_reason(state: str) -> None:
    """Scripts see 1, people the last word of the timeline."""
    ended = dispatch("submitted", state)
    ended["timeline"][-1]["detail"] = "the door is open"
    api = FakeApi().on("/dispatch", ended)
    with pytest.raises(CommandError, match=f"is {state}: the door is open") as failed:
        follow(api)
    assert failed.value.code is Exit.FAILED


def test_a_dispatch_that_takes_too_long_goes_on_alone() -> None:
    """It is not said to have failed: it may still be applied."""
    api = FakeApi().on("/dispatch", dispatch("submitted"))
    api.on("/dispatches/0193", dispatch("submitted", "sent"))
    with pytest.raises(CommandError, match="is sent, not applied within 2s; it goes on"):
        follow(api, within_s=2)


def test_a_headend_that_restarts_meanwhile_is_waited_for() -> None:
    """The dispatch is on its disk."""
    api = FakeApi().on("/dispatch", dispatch("submitted"))
    api.on(
        "/dispatches/0193",
        httpx.ConnectError("refused"),
        problem(503, "not ready"),
        dispatch("submitted", "applied"),
    )
    assert follow(api)[-1] == "the asset reads back -0.500 MW"


def test_silence_after_handing_in_names_the_key() -> None:
    """The same key never dispatches twice, so repeating is safe."""
    api = FakeApi().on("/dispatch", httpx.ReadTimeout("timed out"))
    with pytest.raises(CommandError, match=r"not known\n.*--key k") as unknown:
        follow(api)
    assert unknown.value.code is Exit.UNAVAILABLE

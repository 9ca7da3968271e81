"""A dispatch followed until it is applied, or never will be."""

import httpx
import pytest
from fake_api import FakeApi, FakePause, dispatch, placement, problem

from dercp.cli.client import ApiClient
from dercp.cli.exits import CommandError, Exit
from dercp.cli.following import APPLIED_WITHIN_S, MISSED, Follower, Goal
from dercp.cli.ordering import Order

ORDER = Order(asset_id="bess-1", setpoint_mw=-0.5, duration_s=600.0)
OUTCOME = {"energy_asked_mwh": -0.0833, "energy_delivered_mwh": -0.0829, "known_pct": 99.6}


def follower_of(api: FakeApi) -> tuple[Follower, list[str], FakePause]:
    """One, what it says, and its time."""
    said: list[str] = []
    client, pause = ApiClient("http://headend.example", httpx.MockTransport(api)), FakePause()
    return Follower(client, pause, said.append), said, pause


def follow(
    api: FakeApi, goal: Goal = Goal.APPLIED, *, within_s: float | None = APPLIED_WITHIN_S
) -> list[str]:
    """Hand in and follow; what was said."""
    follower, said, _ = follower_of(api)
    follower.follow(follower.submit(ORDER, "k"), goal, within_s)
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


@pytest.mark.parametrize("state", MISSED)
def test_another_end_is_a_failure_with_its_reason(state: str) -> None:
    """Scripts see a code of its own, people the last word of the timeline."""
    ended = dispatch("submitted", state)
    ended["timeline"][-1]["detail"] = "the door is open"
    api = FakeApi().on("/dispatch", ended)
    with pytest.raises(CommandError, match=f"is {state}: the door is open") as failed:
        follow(api)
    assert failed.value.code is MISSED[state]


def test_every_end_has_an_exit_code_of_its_own() -> None:
    """None is taken for another one."""
    assert len(set(MISSED.values())) == len(MISSED)
    assert not set(MISSED.values()) & {Exit.OK, Exit.FAILED, Exit.USAGE, Exit.PARTIAL}


def test_a_dispatch_that_takes_too_long_goes_on_alone() -> None:
    """It is not said to have failed: it may still be applied."""
    api = FakeApi().on("/dispatch", dispatch("submitted"))
    api.on("/dispatches/0193", dispatch("submitted", "sent"))
    with pytest.raises(CommandError, match="is sent, not applied within 2 s; it goes on"):
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


def test_a_dispatch_is_followed_to_its_end() -> None:
    """Through what it does meanwhile; then what was delivered."""
    story = ("submitted", "applied", "following", "deviating", "following", "completed")
    api = FakeApi().on("/dispatch", dispatch("submitted"))
    api.on(
        "/dispatches/0193",
        *(dispatch(*story[:until]) for until in range(2, 6)),
        dispatch(*story, outcome=OUTCOME),
    )
    said = follow(api, Goal.ENDED)
    assert tuple(line.split()[1] for line in said[1:-1]) == story
    assert said[-1] == "delivered -0.083 of -0.083 MWh asked, 100 % of the time known"


@pytest.mark.parametrize(
    ("state", "code"), [("applied", None), ("following", None), ("deviating", Exit.DEVIATING)]
)
def test_when_time_is_up_it_counts_how_the_dispatch_stands(state: str, code: Exit | None) -> None:
    """In force is what was asked; deviating is not."""
    api = FakeApi().on("/dispatch", dispatch("submitted"))
    api.on("/dispatches/0193", dispatch("submitted", state))
    if code is None:
        follow(api, Goal.ENDED, within_s=5)
        return
    with pytest.raises(CommandError) as missed:
        follow(api, Goal.ENDED, within_s=5)
    assert missed.value.code is code


def test_the_end_is_waited_for_until_the_lease_is_over_and_a_minute_more() -> None:
    """Until 14:10:00, from 14:00:00.25 on."""
    api = FakeApi().on("/dispatch", dispatch("submitted", "applied"))
    api.on("/dispatches/0193", dispatch("submitted", "applied"))
    follower, _, pause = follower_of(api)
    follower.follow(follower.submit(ORDER, "k"), Goal.ENDED)
    assert pause.clock_s - 1_000 == pytest.approx(599.75 + 60, abs=1.1)


def test_what_is_only_taken_is_not_looked_at_again() -> None:
    """It goes on without the command."""
    api = FakeApi().on("/dispatch", dispatch("submitted"))
    assert len(follow(api, Goal.TAKEN)) == 2
    assert len(api.asked) == 1


def test_shares_are_told_when_they_change() -> None:
    """The sums, and by name those that are not as planned."""
    lost = {"id": "b", "state": "failed", "setpoint_mw": -0.2, "reason": "device_failed"}
    left = {"id": "c", "state": "excluded", "setpoint_mw": 0.0, "reason": "offline"}
    planned = placement(left, placed_mw=0.0, pending_mw=-0.5)
    settled = placement(lost, left, placed_mw=-0.3, failed_mw=-0.2)
    api = FakeApi().on("/dispatch", dispatch("submitted", placement=planned))
    api.on(
        "/dispatches/0193",
        dispatch("submitted", "acked", placement=planned),
        dispatch("submitted", "acked", "applied", placement=settled),
    )
    follower, said, _ = follower_of(api)
    with pytest.raises(CommandError, match=r"-0\.200 MW of it are not in force") as partial:
        follower.follow(follower.submit(ORDER, "k"), Goal.APPLIED)
    assert partial.value.code is Exit.PARTIAL
    told = [line for line in said if "MW, " in line or line.startswith("  ")]
    assert told == [
        "placed +0.000 MW, pending -0.500 MW, failed +0.000 MW, unplaced +0.000 MW",
        "  c: excluded, offline",
        "placed -0.300 MW, pending +0.000 MW, failed -0.200 MW, unplaced +0.000 MW",
        "  b: failed, device_failed",
        "  c: excluded, offline",
    ]


def test_a_wish_to_end_is_followed_until_the_edge_has_ended_it() -> None:
    """`cancelled` is the edge's word."""
    api = FakeApi().on("/dispatches/0193/cancel", dispatch("submitted", "applied"))
    api.on("/dispatches/0193", dispatch("submitted", "applied", "cancelled"))
    follower, said, _ = follower_of(api)
    follower.cancel("0193", "storm")
    assert said[-1].split()[1] == "cancelled"
    assert api.asked[0].content == b'{"reason":"storm"}'


@pytest.mark.parametrize(
    ("state", "sentence", "code"),
    [
        ("applied", "has not confirmed it within 10 s", Exit.FAILED),
        ("superseded", "is superseded", Exit.SUPERSEDED),
        ("completed", "is completed", Exit.FAILED),
    ],
)
def test_a_wish_to_end_that_came_to_nothing(state: str, sentence: str, code: Exit) -> None:
    """It ended otherwise, or nobody has said so."""
    api = FakeApi().on("/dispatches/0193/cancel", dispatch("submitted", "applied"))
    api.on("/dispatches/0193", dispatch("submitted", "applied", state))
    follower, _, _ = follower_of(api)
    with pytest.raises(CommandError, match=sentence) as missed:
        follower.cancel("0193", None)
    assert missed.value.code is code

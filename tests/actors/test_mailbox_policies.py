"""Mailbox policies, against a model that is too simple to be wrong."""

from dataclasses import dataclass, field

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

import actors
from actors import MailboxSpec, OnFull, Undelivered
from actors._mailbox import open_mailbox


@dataclass
class Owner:
    """Notes what a mailbox reports."""

    path: str = "sys/box"
    overflows: int = 0
    lost: list[object] = field(default_factory=list)

    def overflowed(self, on_full: OnFull) -> None:
        """Count."""
        assert isinstance(on_full, OnFull)
        self.overflows += 1

    def undelivered(self, why: Undelivered, message: object) -> None:
        """Note."""
        assert isinstance(why, Undelivered)
        self.lost.append(message)


def spec_of(on_full: OnFull, capacity: int) -> MailboxSpec[int]:
    """A mailbox of integers, which conflates those with the same last digit."""
    key = (lambda message: message % 10) if on_full is OnFull.CONFLATE else None
    return MailboxSpec(capacity=capacity, on_full=on_full, key=key)


def put_in_model(box: list[int], on_full: OnFull, capacity: int, message: int) -> bool:
    """What a mailbox should hold after one more message; whether it was taken."""
    if on_full is OnFull.CONFLATE:
        for place, waiting in enumerate(box):
            if waiting % 10 == message % 10:
                box[place] = message
                return True
    if len(box) == capacity:
        if on_full is not OnFull.DROP_OLDEST:
            return False
        box.pop(0)
    box.append(message)
    return True


@given(
    on_full=st.sampled_from(OnFull),
    capacity=st.integers(1, 5),
    steps=st.lists(st.one_of(st.integers(0, 99), st.none()), max_size=60),
)
def test_a_mailbox_holds_what_its_policy_says(
    on_full: OnFull, capacity: int, steps: list[int | None]
) -> None:
    """Any mix of puts and takes (None) leaves mailbox and model with the same messages."""
    owner = Owner()
    mailbox = open_mailbox(spec_of(on_full, capacity), owner)
    model: list[int] = []
    taken = refused = 0

    for message in steps:
        if message is None:
            assert mailbox.take() == (model.pop(0) if model else None)
        elif put_in_model(model, on_full, capacity, message):
            mailbox.put_nowait(message)
            taken += 1
        else:
            with pytest.raises(actors.MailboxFull):
                mailbox.put_nowait(message)
            refused += 1
        assert len(mailbox) == len(model) <= capacity

    seen = mailbox.statistics()
    assert (seen.accepted, seen.rejected) == (taken, refused)
    assert seen.dropped + seen.rejected == owner.overflows
    rest = [mailbox.take() for _ in model]
    assert rest == model


@given(messages=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20)), max_size=40))
def test_a_rule_decides_which_of_two_is_newer(messages: list[tuple[int, int]]) -> None:
    """With `newer`, each key keeps its greatest time, whatever the order of arrival."""
    mailbox = open_mailbox(
        MailboxSpec[tuple[int, int]](
            capacity=3,
            on_full=OnFull.CONFLATE,
            key=lambda message: message[0],
            newer=lambda message, waiting: message[1] >= waiting[1],
        ),
        Owner(),
    )
    for message in messages:
        mailbox.put_nowait(message)

    keys = list(dict.fromkeys(key for key, _ in messages))
    assert [mailbox.take() for _ in keys] == [
        (key, max(time for k, time in messages if k == key)) for key in keys
    ]
    assert mailbox.statistics().conflated == len(messages) - len(keys)


def test_a_key_of_none_keeps_a_message_apart() -> None:
    """Questions can wait beside conflated telemetry."""
    mailbox = open_mailbox(
        MailboxSpec[str](capacity=4, on_full=OnFull.CONFLATE, key=lambda _message: None), Owner()
    )
    for message in ("same", "same"):
        mailbox.put_nowait(message)

    assert len(mailbox) == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"capacity": 0, "on_full": OnFull.BLOCK}, "at least 1, got 0"),
        ({"capacity": 1, "on_full": OnFull.CONFLATE}, "`key` goes with"),
        ({"capacity": 1, "on_full": OnFull.BLOCK, "key": str}, "`key` goes with"),
        ({"capacity": 1, "on_full": OnFull.BLOCK, "newer": max}, "`newer` goes with"),
    ],
)
def test_a_nonsensical_mailbox_is_refused(arguments: dict[str, object], complaint: str) -> None:
    """A bound or policy that cannot be kept is found where it is written."""
    with pytest.raises(ValueError, match=complaint):
        MailboxSpec(**arguments)  # type: ignore[arg-type]  # the point of this test


def test_capacity_and_policy_have_no_default() -> None:
    """Both are decisions of whoever starts the actor."""
    with pytest.raises(TypeError, match=r"capacity.*on_full"):
        MailboxSpec()  # type: ignore[call-arg]  # the point of this test


async def test_blocked_senders_are_let_in_first_come_first_served() -> None:
    """Under BLOCK a take makes room for the sender who has waited longest."""
    mailbox = open_mailbox(spec_of(OnFull.BLOCK, 1), Owner())
    async with trio.open_nursery() as nursery:
        for message in range(4):
            nursery.start_soon(mailbox.put, message)
            await trio.testing.wait_all_tasks_blocked()
        assert mailbox.statistics().blocked == 3

        assert [mailbox.take() for _ in range(4)] == [0, 1, 2, 3]

    assert mailbox.statistics().delayed == 3


@given(cancelled=st.sets(st.integers(0, 7)), takes=st.integers(0, 10))
def test_a_cancelled_sender_has_not_sent_and_a_returned_one_has(
    cancelled: set[int], takes: int
) -> None:
    """Under BLOCK no letter is lost or doubled, whoever is cancelled and when."""

    async def main() -> None:
        mailbox = open_mailbox(spec_of(OnFull.BLOCK, 2), Owner())
        scopes = [trio.CancelScope() for _ in range(8)]
        sent: list[int] = []
        received: list[int] = []

        async def send(message: int) -> None:
            with scopes[message]:
                await mailbox.put(message)
                sent.append(message)

        def take() -> None:
            letter = mailbox.take()
            if letter is not None:
                assert isinstance(letter, int)
                received.append(letter)

        async with trio.open_nursery() as nursery:
            for message in range(8):
                nursery.start_soon(send, message)
            await trio.testing.wait_all_tasks_blocked()
            for turn in range(10):
                if turn < takes:
                    take()
                if turn in cancelled:
                    scopes[turn].cancel()  # in the tick in which it may just have been let in
            await trio.testing.wait_all_tasks_blocked()
            while len(mailbox):
                take()
                await trio.testing.wait_all_tasks_blocked()

        assert sorted(received) == sorted(sent)

    trio.run(main)


async def test_closing_wakes_blocked_senders_with_the_reason() -> None:
    """Who waits for room in a mailbox that closes is told so; what is inside can be taken."""
    owner = Owner()
    mailbox = open_mailbox(spec_of(OnFull.BLOCK, 1), owner)
    mailbox.put_nowait(1)
    with pytest.RaisesGroup(actors.ActorStopped):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mailbox.put, 2)
            await trio.testing.wait_all_tasks_blocked()
            mailbox.close()
            mailbox.close()

    assert mailbox.take() == 1
    assert owner.lost == [2]
    assert not await mailbox.wait()


async def test_only_one_task_reads() -> None:
    """A second reader is a mistake and is told so."""
    mailbox = open_mailbox(spec_of(OnFull.BLOCK, 1), Owner())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mailbox.wait)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await mailbox.wait()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("on_full", OnFull)
async def test_a_closed_mailbox_takes_nothing(on_full: OnFull) -> None:
    """Under every policy, and whether there would be room or not."""
    owner = Owner()
    mailbox = open_mailbox(spec_of(on_full, 2), owner)
    mailbox.put_nowait(1)
    mailbox.close()
    for message in (1, 2):
        with pytest.raises(actors.ActorStopped):
            mailbox.put_nowait(message)
        with pytest.raises(actors.ActorStopped):
            await mailbox.put(message)

    assert owner.lost == [1, 1, 2, 2]
    assert mailbox.statistics().accepted == 1

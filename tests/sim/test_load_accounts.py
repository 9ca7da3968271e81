"""The loss audit from outside: produced = stored + declared, or a sentence that says where not."""

from hypothesis import given
from hypothesis import strategies as st

from sim.load.accounts import FINDINGS_MAX, Held, SpoolLedger, compare

LEDGER = SpoolLedger(agent_id="sim-00001", spool_id="s", sequences=10, samples=40)
ALL = Held(spool_id="s", stored=[(1, 10)], stored_batches=10, stored_samples=40)


def test_everything_is_stored() -> None:
    """No findings; spools of earlier runs are nobody's business here."""
    earlier = Held(spool_id="earlier", stored=[(1, 99)], stored_batches=99, stored_samples=1)
    verdict = compare([LEDGER], [earlier, ALL])
    assert verdict.is_well
    assert (verdict.produced, verdict.stored, verdict.lost, verdict.duplicates) == (40, 40, 0, 0)


def test_what_was_declared_is_not_lost() -> None:
    """Stored and declared make up what was produced."""
    held = Held(
        spool_id="s",
        stored=[(1, 3), (6, 10)],
        declared=[(4, 5)],
        stored_batches=8,
        stored_samples=32,
        declared_samples=8,
    )
    verdict = compare([LEDGER], [held])
    assert verdict.is_well
    assert (verdict.stored, verdict.declared, verdict.lost) == (32, 8, 0)


def test_a_lost_batch_is_named() -> None:
    """Whose it was, which number, and how many samples are missing."""
    held = Held(spool_id="s", stored=[(1, 3), (5, 10)], stored_batches=9, stored_samples=36)
    verdict = compare([LEDGER], [held])
    assert verdict.lost == 4
    assert verdict.findings == (
        "sim-00001: batch 4 is lost: neither stored nor declared",
        "sim-00001: 40 samples were produced, but 36 are stored and 0 declared (0 waited)",
    )


def test_what_waits_still_is_told_apart_from_what_is_lost() -> None:
    """The audit fails, for it is not stored; but nobody has lost it."""
    ledger = SpoolLedger(
        agent_id="a", spool_id="s", sequences=10, samples=40, waiting=2, waiting_samples=8
    )
    held = Held(spool_id="s", stored=[(1, 8)], stored_batches=8, stored_samples=32)
    verdict = compare([ledger], [held])
    assert (verdict.waiting, verdict.lost) == (8, 0)
    assert verdict.findings[0] == (
        "a: batches 9 to 10 waited at the agent still when it was stopped"
    )


def test_more_than_was_produced_is_found() -> None:
    """Samples twice, batches from nowhere, and batches that are not there any more."""
    held = Held(spool_id="s", stored=[(1, 12)], stored_batches=11, stored_samples=44)
    verdict = compare([LEDGER], [held])
    assert verdict.duplicates == 4
    assert "sim-00001: never produced, and yet there: batches 11 to 12" in verdict.findings
    assert "sim-00001: 12 batches are said to be stored, and 11 are there" in verdict.findings


def test_a_headend_that_knows_nothing_has_lost_all() -> None:
    """Also when there are too many sentences to say them all."""
    ledgers = [
        SpoolLedger(agent_id=f"a{number}", spool_id=f"s{number}", sequences=3, samples=3)
        for number in range(FINDINGS_MAX)
    ]
    verdict = compare(ledgers, [])
    assert verdict.lost == verdict.produced == 3 * FINDINGS_MAX
    assert len(verdict.findings) == FINDINGS_MAX + 1
    assert verdict.findings[-1] == f"and {FINDINGS_MAX} more of the kind"


@given(st.lists(st.sampled_from("sd-"), min_size=1, max_size=30))
def test_it_is_well_exactly_when_no_batch_is_missing(fates: list[str]) -> None:
    """Whatever is stored (s), declared (d) or missing (-), each of two samples."""
    numbers = {fate: [n for n, each in enumerate(fates, 1) if each == fate] for fate in "sd-"}
    held = Held(
        spool_id="s",
        stored=[(n, n) for n in numbers["s"]],
        declared=[(n, n) for n in numbers["d"]],
        stored_batches=len(numbers["s"]),
        stored_samples=2 * len(numbers["s"]),
        declared_samples=2 * len(numbers["d"]),
    )
    ledger = SpoolLedger(agent_id="a", spool_id="s", sequences=len(fates), samples=2 * len(fates))
    verdict = compare([ledger], [held])
    assert verdict.is_well == (not numbers["-"])
    assert verdict.produced == verdict.stored + verdict.declared + verdict.lost

"""The glossary says the words that the code says."""

from pathlib import Path

import pytest

from dercp.model.dispatch import DispatchReason, DispatchState

GLOSSARY = (Path(__file__).parents[2] / "docs/glossary.md").read_text()


@pytest.mark.parametrize("state", DispatchState)
def test_each_state_of_a_dispatch_is_explained(state: DispatchState) -> None:
    """An operator meets these words first."""
    assert f"\n| {state} | " in GLOSSARY


@pytest.mark.parametrize("reason", DispatchReason)
def test_each_reason_is_explained_in_the_same_words(reason: DispatchReason) -> None:
    """The words are stable, so their meanings are written once."""
    assert f"\n| {reason} | {reason.meaning} |\n" in GLOSSARY

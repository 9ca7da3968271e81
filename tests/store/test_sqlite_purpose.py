"""Only what was made for development is ever wiped."""

import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest
from history_samples import frame, numbers

from dercp.store import Purpose, StoreBusy, StoreUnusable, open_history, open_sqlite
from dercp.store.sqlite import (
    FILE_NAME,
    HISTORY_NAME,
    purpose_of_history,
    purpose_of_sqlite,
    wipe_history,
    wipe_sqlite,
)


class Place(NamedTuple):
    """One of the two files of a data directory."""

    name: str
    open: Callable[..., AbstractAsyncContextManager[Any]]
    purpose_of: Callable[[Path], Purpose | None]
    wipe: Callable[[Path], None]


PLACES = (
    Place(FILE_NAME, open_sqlite, purpose_of_sqlite, wipe_sqlite),
    Place(HISTORY_NAME, open_history, purpose_of_history, wipe_history),
)


@pytest.fixture(params=PLACES, ids=["store", "history"])
def place(request: pytest.FixtureRequest) -> Place:
    """Each of them in turn."""
    return request.param  # type: ignore[no-any-return]  # one of PLACES


@pytest.mark.parametrize("purpose", list(Purpose))
async def test_the_purpose_is_that_of_the_first_opening(
    place: Place, purpose: Purpose, tmp_path: Path
) -> None:
    """Whatever later ones say."""
    assert place.purpose_of(tmp_path) is None
    async with place.open(tmp_path, purpose=purpose):
        pass
    for later in Purpose:
        async with place.open(tmp_path, purpose=later):
            assert place.purpose_of(tmp_path) is purpose


async def test_a_file_of_an_earlier_release_is_for_production(place: Place, tmp_path: Path) -> None:
    """It said nothing, and may be somebody's only copy."""
    async with place.open(tmp_path, purpose=Purpose.DEVELOPMENT):
        pass
    db = apsw.Connection(str(tmp_path / place.name))
    db.execute("DROP TABLE purpose")
    db.close()
    assert place.purpose_of(tmp_path) is Purpose.PRODUCTION


def test_what_is_no_database_is_for_production(place: Place, tmp_path: Path) -> None:
    """Nobody knows what it is."""
    (tmp_path / place.name).write_bytes(b"precious" * 1_000)
    assert place.purpose_of(tmp_path) is Purpose.PRODUCTION
    with pytest.raises(StoreUnusable):
        place.wipe(tmp_path)


async def test_what_was_made_for_production_is_not_wiped(place: Place, tmp_path: Path) -> None:
    """And is as it was."""
    async with place.open(tmp_path):
        pass
    with pytest.raises(StoreUnusable, match="not made for development"):
        place.wipe(tmp_path)
    assert place.purpose_of(tmp_path) is Purpose.PRODUCTION


async def test_what_somebody_works_with_is_not_wiped(place: Place, tmp_path: Path) -> None:
    """The lock of the directory holds for tools too."""
    async with place.open(tmp_path, purpose=Purpose.DEVELOPMENT):
        with pytest.raises(StoreBusy):
            place.wipe(tmp_path)
    assert place.purpose_of(tmp_path) is Purpose.DEVELOPMENT


async def test_a_wiped_place_is_as_new(place: Place, tmp_path: Path) -> None:
    """With all that SQLite, and damage, had left beside it; the other file stays."""
    for each in PLACES:
        async with each.open(tmp_path, purpose=Purpose.DEVELOPMENT):
            pass
    aside = tmp_path / f"{place.name}.damaged-1"
    aside.touch()
    place.wipe(tmp_path)
    assert not aside.exists()
    assert [each.purpose_of(tmp_path) is None for each in PLACES] == [
        each is place for each in PLACES
    ]
    async with place.open(tmp_path):
        assert place.purpose_of(tmp_path) is Purpose.PRODUCTION


async def test_what_only_the_wal_has_counts(tmp_path: Path) -> None:
    """A killed headend leaves the mark there; it is read all the same."""
    other = tmp_path / "copy"
    other.mkdir()
    async with open_history(tmp_path, purpose=Purpose.DEVELOPMENT) as history:
        await history.append([frame(1)])
        for name in (HISTORY_NAME, f"{HISTORY_NAME}-wal"):
            shutil.copy(tmp_path / name, other / name)
    assert purpose_of_history(other) is Purpose.DEVELOPMENT
    async with open_history(other) as history:
        assert await numbers(history) == [1]
    wipe_history(other)
    assert purpose_of_history(other) is None

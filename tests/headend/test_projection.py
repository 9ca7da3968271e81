"""Frames read out as wide rows: what the registration says, what the values say, and no more."""

import pytest
from headend_plant import START_US, battery
from msgspec.structs import replace

from dercp.headend.history import projection as projecting
from dercp.headend.history.projection import Projection
from dercp.headend.settings import HeadendSettings
from dercp.model.asset import Registration, RegistrationLimits
from dercp.store.records import FrameRecord, RegistrationRecord
from dercp.wire.payload import RowDraft, encode_payload
from dercp.wire.registration import decode_registration, encode_registration, registration_id

NAN = float("nan")


def site(number: int) -> RegistrationRecord:
    """A site of two batteries."""
    assets = tuple(battery(f"bess-{number}-{each}") for each in (1, 2))
    content = encode_registration(
        Registration(site_id=f"site-{number}", site_name="", assets=assets)
    )
    return RegistrationRecord(
        registration_id=registration_id(content), content=content, first_seen_us=START_US
    )


def batch(registration: RegistrationRecord, *rows: RowDraft) -> FrameRecord:
    """A frame of these rows."""
    return FrameRecord(
        tenant_id="default",
        agent_id="edge-1",
        spool_id="spool-1",
        sequence=1,
        registration_id=registration.registration_id,
        ingest_time_us=START_US,
        first_time_us=START_US,
        last_time_us=START_US,
        samples=len(rows),
        payload=encode_payload(START_US, rows),
    )


def test_a_row_for_each_asset_and_time() -> None:
    """What is not known has no value; what is not good says so."""
    registration = site(1)
    frame = batch(
        registration,
        RowDraft(0, START_US, [1.5, 50.0]),
        RowDraft(1, START_US + 1, [-0.5, 150.0]),
        RowDraft(1, START_US + 2, [NAN, 20.0]),
    )
    first, second, third = Projection(HeadendSettings())(registration, frame) or ()
    assert (first.site_id, first.asset_id, first.source_time_us) == (
        "site-1",
        "bess-1-1",
        START_US,
    )
    assert (first.values, first.qualities) == ({"active_power_mw": 1.5, "soc_pct": 50.0}, {})
    assert second.qualities == {"soc_pct": "uncertain"}
    assert third.values == {"soc_pct": 20.0}
    assert third.qualities == {"active_power_mw": "bad"}


def test_what_cannot_be_read_has_no_rows() -> None:
    """The frame is kept all the same, by who asked."""
    registration = site(1)
    frame = batch(registration, RowDraft(0, START_US, [1.5, 50.0]))
    read = Projection(HeadendSettings())
    assert read(registration, replace(frame, payload=b"\xff")) is None
    assert read(replace(registration, registration_id=b"x", content=b"\xff"), frame) is None
    assert len(read(registration, frame) or ()) == 1


def test_registrations_of_so_many_assets_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest unused is read anew."""
    read: list[bytes] = []

    def counted(content: bytes, limits: RegistrationLimits) -> Registration:
        read.append(content)
        return decode_registration(content, limits)

    monkeypatch.setattr(projecting, "decode_registration", counted)
    projection = Projection(HeadendSettings(projection_assets_max=5))
    sites = [site(number) for number in range(3)]
    for number in (0, 1, 0, 1, 2, 1, 0):
        projection(sites[number], batch(sites[number], RowDraft(0, START_US, [1.0, 50.0])))
    assert read == [sites[number].content for number in (0, 1, 2, 0)]

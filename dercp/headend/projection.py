"""Reads frames out as wide rows, for a store that keeps those too."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from dercp.headend.intake import schema_of
from dercp.model.quality import Quality
from dercp.store.records import RegistrationRecord, SampleRow
from dercp.wire.errors import WireError
from dercp.wire.registration import decode_registration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dercp.headend.settings import HeadendSettings
    from dercp.model.asset import Registration
    from dercp.store.records import FrameRecord
    from dercp.wire.payload import PayloadSchema, Row


class Projection:
    """What a store is given as its `RowsOf`.

    Characteristics:
        Bound: `history_layouts_max` registrations; the longest unused is forgotten.
    """

    def __init__(self, settings: HeadendSettings) -> None:
        self._settings = settings
        self._read: OrderedDict[bytes, tuple[Registration, PayloadSchema] | None] = OrderedDict()

    def __call__(
        self, registration: RegistrationRecord, frame: FrameRecord
    ) -> Sequence[SampleRow] | None:
        """The rows of a frame written under that registration; None: it cannot be read."""
        read = self._layout(registration)
        if read is None:
            return None
        layout, schema = read
        try:
            rows = schema.decode(frame.payload).rows
        except WireError:
            return None
        return [_sample(layout, schema, row) for row in rows]

    def _layout(self, record: RegistrationRecord) -> tuple[Registration, PayloadSchema] | None:
        key = record.registration_id
        if key in self._read:
            self._read.move_to_end(key)
            return self._read[key]
        try:
            registration = decode_registration(record.content, self._settings.registration)
            self._read[key] = registration, schema_of(registration, self._settings)
        except WireError:
            self._read[key] = None  # the limits were narrowed since it was registered
        if len(self._read) > self._settings.history_layouts_max:
            self._read.popitem(last=False)
        return self._read[key]


def _sample(registration: Registration, schema: PayloadSchema, row: Row) -> SampleRow:
    readings = schema.readings(row)
    return SampleRow(
        site_id=registration.site_id,
        asset_id=registration.assets[row.asset_index].asset_id,
        source_time_us=row.source_time_us,
        values={each.point: each.value for each in readings if each.value is not None},
        qualities={
            each.point: each.quality.name.lower()
            for each in readings
            if each.quality is not Quality.GOOD
        },
    )

"""Reads frames out as wide rows, for a store that keeps those too."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from dercp.headend.agents.intake import schema_of
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
        Bound: registrations of `projection_assets_max` assets; the longest unused is forgotten.
            All that send are wanted in turn, so too few would be read anew for each frame.
    """

    def __init__(self, settings: HeadendSettings) -> None:
        self._settings = settings
        self._layouts: OrderedDict[bytes, _Layout | None] = OrderedDict()
        self._assets = 0

    def __call__(
        self, registration: RegistrationRecord, frame: FrameRecord
    ) -> Sequence[SampleRow] | None:
        """The rows of a frame written under that registration; None: it cannot be read."""
        layout = self._layout(registration)
        if layout is None:
            return None
        try:
            rows = layout.schema.decode(frame.payload).rows
        except WireError:
            return None
        return [_sample(layout, row) for row in rows]

    def _layout(self, record: RegistrationRecord) -> _Layout | None:
        key = record.registration_id
        if key in self._layouts:
            self._layouts.move_to_end(key)
            return self._layouts[key]
        layout = self._read(record)
        self._layouts[key] = layout
        self._assets += _size_of(layout)
        while self._assets > self._settings.projection_assets_max and len(self._layouts) > 1:
            self._assets -= _size_of(self._layouts.popitem(last=False)[1])
        return layout

    def _read(self, record: RegistrationRecord) -> _Layout | None:
        try:
            registration = decode_registration(record.content, self._settings.registration)
            return _Layout(registration, schema_of(registration, self._settings))
        except WireError:
            return None  # the limits were narrowed since it was registered


class _Layout(NamedTuple):
    """How batches of one registration are read."""

    registration: Registration
    schema: PayloadSchema


def _size_of(layout: _Layout | None) -> int:
    return 1 if layout is None else len(layout.registration.assets)


def _sample(layout: _Layout, row: Row) -> SampleRow:
    registration, readings = layout.registration, layout.schema.readings(row)
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

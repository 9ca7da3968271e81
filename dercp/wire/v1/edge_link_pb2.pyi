# mypy: ignore-errors
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Fallback(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FALLBACK_UNSPECIFIED: _ClassVar[Fallback]
    FALLBACK_RELEASE: _ClassVar[Fallback]
    FALLBACK_HOLD: _ClassVar[Fallback]
    FALLBACK_ZERO: _ClassVar[Fallback]
    FALLBACK_VALUE: _ClassVar[Fallback]

class AssetKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ASSET_KIND_UNSPECIFIED: _ClassVar[AssetKind]
    ASSET_KIND_STORAGE: _ClassVar[AssetKind]
    ASSET_KIND_PV: _ClassVar[AssetKind]
    ASSET_KIND_WIND: _ClassVar[AssetKind]
    ASSET_KIND_EV: _ClassVar[AssetKind]

class Point(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POINT_CUSTOM: _ClassVar[Point]
    POINT_ACTIVE_POWER_MW: _ClassVar[Point]
    POINT_REACTIVE_POWER_MVAR: _ClassVar[Point]
    POINT_VOLTAGE_V: _ClassVar[Point]
    POINT_FREQUENCY_HZ: _ClassVar[Point]
    POINT_AVAILABLE_MIN_MW: _ClassVar[Point]
    POINT_AVAILABLE_MAX_MW: _ClassVar[Point]
    POINT_SETPOINT_MW: _ClassVar[Point]
    POINT_OPERATING_STATE: _ClassVar[Point]
    POINT_FAULT_CODE: _ClassVar[Point]
    POINT_ENERGY_EXPORTED_MWH: _ClassVar[Point]
    POINT_ENERGY_IMPORTED_MWH: _ClassVar[Point]
    POINT_SOC_PCT: _ClassVar[Point]
    POINT_SOH_PCT: _ClassVar[Point]
    POINT_ENERGY_CAPACITY_MWH: _ClassVar[Point]
    POINT_TEMPERATURE_C: _ClassVar[Point]
    POINT_IRRADIANCE_W_M2: _ClassVar[Point]
    POINT_DC_POWER_MW: _ClassVar[Point]
    POINT_MODULE_TEMPERATURE_C: _ClassVar[Point]
    POINT_WIND_SPEED_M_S: _ClassVar[Point]
    POINT_WIND_DIRECTION_DEG: _ClassVar[Point]
    POINT_ROTOR_SPEED_RPM: _ClassVar[Point]
    POINT_NACELLE_DIRECTION_DEG: _ClassVar[Point]
    POINT_PITCH_DEG: _ClassVar[Point]
    POINT_CONNECTORS_TOTAL: _ClassVar[Point]
    POINT_CONNECTORS_OCCUPIED: _ClassVar[Point]
    POINT_SESSION_ENERGY_MWH: _ClassVar[Point]
    POINT_VEHICLE_SOC_PCT: _ClassVar[Point]

class Lane(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LANE_LIVE: _ClassVar[Lane]
    LANE_BACKLOG: _ClassVar[Lane]

class Quality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUALITY_GOOD: _ClassVar[Quality]
    QUALITY_UNCERTAIN: _ClassVar[Quality]
    QUALITY_BAD: _ClassVar[Quality]

class QualityReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUALITY_REASON_NONE: _ClassVar[QualityReason]
    QUALITY_REASON_STALE: _ClassVar[QualityReason]
    QUALITY_REASON_OUT_OF_RANGE: _ClassVar[QualityReason]
    QUALITY_REASON_SUBSTITUTED: _ClassVar[QualityReason]
    QUALITY_REASON_CLOCK_SUSPECT: _ClassVar[QualityReason]
    QUALITY_REASON_DEVICE_COMMS_LOST: _ClassVar[QualityReason]

class OnLimit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_LIMIT_CLAMP: _ClassVar[OnLimit]
    ON_LIMIT_REJECT: _ClassVar[OnLimit]

class Authority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUTHORITY_UNSPECIFIED: _ClassVar[Authority]
    AUTHORITY_HEADEND: _ClassVar[Authority]
    AUTHORITY_LOCAL_OPERATOR: _ClassVar[Authority]
    AUTHORITY_SAFETY: _ClassVar[Authority]

class AllocationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALLOCATION_STATE_PLANNED: _ClassVar[AllocationState]
    ALLOCATION_STATE_APPLIED: _ClassVar[AllocationState]
    ALLOCATION_STATE_FAILED: _ClassVar[AllocationState]
    ALLOCATION_STATE_EXCLUDED: _ClassVar[AllocationState]
    ALLOCATION_STATE_ENDED: _ClassVar[AllocationState]

class DispatchState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DISPATCH_STATE_UNSPECIFIED: _ClassVar[DispatchState]
    DISPATCH_STATE_ACKED: _ClassVar[DispatchState]
    DISPATCH_STATE_APPLIED: _ClassVar[DispatchState]
    DISPATCH_STATE_FOLLOWING: _ClassVar[DispatchState]
    DISPATCH_STATE_DEVIATING: _ClassVar[DispatchState]
    DISPATCH_STATE_COMPLETED: _ClassVar[DispatchState]
    DISPATCH_STATE_REJECTED: _ClassVar[DispatchState]
    DISPATCH_STATE_EXPIRED: _ClassVar[DispatchState]
    DISPATCH_STATE_CANCELLED: _ClassVar[DispatchState]
    DISPATCH_STATE_SUPERSEDED: _ClassVar[DispatchState]
    DISPATCH_STATE_FAILED: _ClassVar[DispatchState]

class RejectCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REJECT_CODE_UNSPECIFIED: _ClassVar[RejectCode]
    REJECT_CODE_MALFORMED: _ClassVar[RejectCode]
    REJECT_CODE_HELLO_EXPECTED: _ClassVar[RejectCode]
    REJECT_CODE_BAD_REGISTRATION: _ClassVar[RejectCode]
    REJECT_CODE_TOO_MANY_ASSETS: _ClassVar[RejectCode]
    REJECT_CODE_NOT_YOURS: _ClassVar[RejectCode]
    REJECT_CODE_UNKNOWN_REGISTRATION: _ClassVar[RejectCode]
    REJECT_CODE_BAD_PAYLOAD: _ClassVar[RejectCode]
    REJECT_CODE_TOO_LARGE: _ClassVar[RejectCode]
    REJECT_CODE_SUPERSEDED: _ClassVar[RejectCode]
    REJECT_CODE_OVERLOADED: _ClassVar[RejectCode]
    REJECT_CODE_SHUTTING_DOWN: _ClassVar[RejectCode]
    REJECT_CODE_NOT_AUTHORIZED: _ClassVar[RejectCode]
FALLBACK_UNSPECIFIED: Fallback
FALLBACK_RELEASE: Fallback
FALLBACK_HOLD: Fallback
FALLBACK_ZERO: Fallback
FALLBACK_VALUE: Fallback
ASSET_KIND_UNSPECIFIED: AssetKind
ASSET_KIND_STORAGE: AssetKind
ASSET_KIND_PV: AssetKind
ASSET_KIND_WIND: AssetKind
ASSET_KIND_EV: AssetKind
POINT_CUSTOM: Point
POINT_ACTIVE_POWER_MW: Point
POINT_REACTIVE_POWER_MVAR: Point
POINT_VOLTAGE_V: Point
POINT_FREQUENCY_HZ: Point
POINT_AVAILABLE_MIN_MW: Point
POINT_AVAILABLE_MAX_MW: Point
POINT_SETPOINT_MW: Point
POINT_OPERATING_STATE: Point
POINT_FAULT_CODE: Point
POINT_ENERGY_EXPORTED_MWH: Point
POINT_ENERGY_IMPORTED_MWH: Point
POINT_SOC_PCT: Point
POINT_SOH_PCT: Point
POINT_ENERGY_CAPACITY_MWH: Point
POINT_TEMPERATURE_C: Point
POINT_IRRADIANCE_W_M2: Point
POINT_DC_POWER_MW: Point
POINT_MODULE_TEMPERATURE_C: Point
POINT_WIND_SPEED_M_S: Point
POINT_WIND_DIRECTION_DEG: Point
POINT_ROTOR_SPEED_RPM: Point
POINT_NACELLE_DIRECTION_DEG: Point
POINT_PITCH_DEG: Point
POINT_CONNECTORS_TOTAL: Point
POINT_CONNECTORS_OCCUPIED: Point
POINT_SESSION_ENERGY_MWH: Point
POINT_VEHICLE_SOC_PCT: Point
LANE_LIVE: Lane
LANE_BACKLOG: Lane
QUALITY_GOOD: Quality
QUALITY_UNCERTAIN: Quality
QUALITY_BAD: Quality
QUALITY_REASON_NONE: QualityReason
QUALITY_REASON_STALE: QualityReason
QUALITY_REASON_OUT_OF_RANGE: QualityReason
QUALITY_REASON_SUBSTITUTED: QualityReason
QUALITY_REASON_CLOCK_SUSPECT: QualityReason
QUALITY_REASON_DEVICE_COMMS_LOST: QualityReason
ON_LIMIT_CLAMP: OnLimit
ON_LIMIT_REJECT: OnLimit
AUTHORITY_UNSPECIFIED: Authority
AUTHORITY_HEADEND: Authority
AUTHORITY_LOCAL_OPERATOR: Authority
AUTHORITY_SAFETY: Authority
ALLOCATION_STATE_PLANNED: AllocationState
ALLOCATION_STATE_APPLIED: AllocationState
ALLOCATION_STATE_FAILED: AllocationState
ALLOCATION_STATE_EXCLUDED: AllocationState
ALLOCATION_STATE_ENDED: AllocationState
DISPATCH_STATE_UNSPECIFIED: DispatchState
DISPATCH_STATE_ACKED: DispatchState
DISPATCH_STATE_APPLIED: DispatchState
DISPATCH_STATE_FOLLOWING: DispatchState
DISPATCH_STATE_DEVIATING: DispatchState
DISPATCH_STATE_COMPLETED: DispatchState
DISPATCH_STATE_REJECTED: DispatchState
DISPATCH_STATE_EXPIRED: DispatchState
DISPATCH_STATE_CANCELLED: DispatchState
DISPATCH_STATE_SUPERSEDED: DispatchState
DISPATCH_STATE_FAILED: DispatchState
REJECT_CODE_UNSPECIFIED: RejectCode
REJECT_CODE_MALFORMED: RejectCode
REJECT_CODE_HELLO_EXPECTED: RejectCode
REJECT_CODE_BAD_REGISTRATION: RejectCode
REJECT_CODE_TOO_MANY_ASSETS: RejectCode
REJECT_CODE_NOT_YOURS: RejectCode
REJECT_CODE_UNKNOWN_REGISTRATION: RejectCode
REJECT_CODE_BAD_PAYLOAD: RejectCode
REJECT_CODE_TOO_LARGE: RejectCode
REJECT_CODE_SUPERSEDED: RejectCode
REJECT_CODE_OVERLOADED: RejectCode
REJECT_CODE_SHUTTING_DOWN: RejectCode
REJECT_CODE_NOT_AUTHORIZED: RejectCode

class Uplink(_message.Message):
    __slots__ = ("hello", "telemetry", "dispatch_update", "event", "gap_report", "heartbeat", "earlier_registration")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    TELEMETRY_FIELD_NUMBER: _ClassVar[int]
    DISPATCH_UPDATE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    GAP_REPORT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    EARLIER_REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    telemetry: TelemetryBatch
    dispatch_update: DispatchUpdate
    event: Event
    gap_report: GapReport
    heartbeat: Heartbeat
    earlier_registration: EarlierRegistration
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., telemetry: _Optional[_Union[TelemetryBatch, _Mapping]] = ..., dispatch_update: _Optional[_Union[DispatchUpdate, _Mapping]] = ..., event: _Optional[_Union[Event, _Mapping]] = ..., gap_report: _Optional[_Union[GapReport, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., earlier_registration: _Optional[_Union[EarlierRegistration, _Mapping]] = ...) -> None: ...

class Downlink(_message.Message):
    __slots__ = ("welcome", "telemetry_ack", "dispatch", "cancel_dispatch", "heartbeat", "drain", "reject")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    TELEMETRY_ACK_FIELD_NUMBER: _ClassVar[int]
    DISPATCH_FIELD_NUMBER: _ClassVar[int]
    CANCEL_DISPATCH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    REJECT_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    telemetry_ack: TelemetryAck
    dispatch: Dispatch
    cancel_dispatch: CancelDispatch
    heartbeat: Heartbeat
    drain: Drain
    reject: Reject
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., telemetry_ack: _Optional[_Union[TelemetryAck, _Mapping]] = ..., dispatch: _Optional[_Union[Dispatch, _Mapping]] = ..., cancel_dispatch: _Optional[_Union[CancelDispatch, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., reject: _Optional[_Union[Reject, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("agent_id", "software_version", "spool_id", "registration", "time_us")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    SPOOL_ID_FIELD_NUMBER: _ClassVar[int]
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    software_version: str
    spool_id: str
    registration: bytes
    time_us: int
    def __init__(self, agent_id: _Optional[str] = ..., software_version: _Optional[str] = ..., spool_id: _Optional[str] = ..., registration: _Optional[bytes] = ..., time_us: _Optional[int] = ...) -> None: ...

class Registration(_message.Message):
    __slots__ = ("site_id", "site_name", "assets")
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_NAME_FIELD_NUMBER: _ClassVar[int]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    site_id: str
    site_name: str
    assets: _containers.RepeatedCompositeFieldContainer[AssetRegistration]
    def __init__(self, site_id: _Optional[str] = ..., site_name: _Optional[str] = ..., assets: _Optional[_Iterable[_Union[AssetRegistration, _Mapping]]] = ...) -> None: ...

class AssetRegistration(_message.Message):
    __slots__ = ("asset_id", "name", "kind", "p_min_mw", "p_max_mw", "energy_capacity_mwh", "sample_interval_ms", "points", "limit_min_mw", "limit_max_mw", "fallback", "fallback_mw", "tolerance_mw", "settling_ms", "soc_min_pct", "soc_max_pct", "dead_band_mw")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    P_MIN_MW_FIELD_NUMBER: _ClassVar[int]
    P_MAX_MW_FIELD_NUMBER: _ClassVar[int]
    ENERGY_CAPACITY_MWH_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_MIN_MW_FIELD_NUMBER: _ClassVar[int]
    LIMIT_MAX_MW_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_MW_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_MW_FIELD_NUMBER: _ClassVar[int]
    SETTLING_MS_FIELD_NUMBER: _ClassVar[int]
    SOC_MIN_PCT_FIELD_NUMBER: _ClassVar[int]
    SOC_MAX_PCT_FIELD_NUMBER: _ClassVar[int]
    DEAD_BAND_MW_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    name: str
    kind: AssetKind
    p_min_mw: float
    p_max_mw: float
    energy_capacity_mwh: float
    sample_interval_ms: int
    points: _containers.RepeatedCompositeFieldContainer[PointRegistration]
    limit_min_mw: float
    limit_max_mw: float
    fallback: Fallback
    fallback_mw: float
    tolerance_mw: float
    settling_ms: int
    soc_min_pct: float
    soc_max_pct: float
    dead_band_mw: float
    def __init__(self, asset_id: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[_Union[AssetKind, str]] = ..., p_min_mw: _Optional[float] = ..., p_max_mw: _Optional[float] = ..., energy_capacity_mwh: _Optional[float] = ..., sample_interval_ms: _Optional[int] = ..., points: _Optional[_Iterable[_Union[PointRegistration, _Mapping]]] = ..., limit_min_mw: _Optional[float] = ..., limit_max_mw: _Optional[float] = ..., fallback: _Optional[_Union[Fallback, str]] = ..., fallback_mw: _Optional[float] = ..., tolerance_mw: _Optional[float] = ..., settling_ms: _Optional[int] = ..., soc_min_pct: _Optional[float] = ..., soc_max_pct: _Optional[float] = ..., dead_band_mw: _Optional[float] = ...) -> None: ...

class PointRegistration(_message.Message):
    __slots__ = ("point", "name", "unit")
    POINT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    point: Point
    name: str
    unit: str
    def __init__(self, point: _Optional[_Union[Point, str]] = ..., name: _Optional[str] = ..., unit: _Optional[str] = ...) -> None: ...

class EarlierRegistration(_message.Message):
    __slots__ = ("registration",)
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    registration: bytes
    def __init__(self, registration: _Optional[bytes] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("session_id", "epoch", "heartbeat_interval_ms", "server_time_us", "message_bytes_max")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_US_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    epoch: int
    heartbeat_interval_ms: int
    server_time_us: int
    message_bytes_max: int
    def __init__(self, session_id: _Optional[str] = ..., epoch: _Optional[int] = ..., heartbeat_interval_ms: _Optional[int] = ..., server_time_us: _Optional[int] = ..., message_bytes_max: _Optional[int] = ...) -> None: ...

class TelemetryBatch(_message.Message):
    __slots__ = ("sequence", "registration_id", "payload", "lane")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REGISTRATION_ID_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    registration_id: bytes
    payload: bytes
    lane: Lane
    def __init__(self, sequence: _Optional[int] = ..., registration_id: _Optional[bytes] = ..., payload: _Optional[bytes] = ..., lane: _Optional[_Union[Lane, str]] = ...) -> None: ...

class TelemetryPayload(_message.Message):
    __slots__ = ("base_time_us", "rows")
    BASE_TIME_US_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    base_time_us: int
    rows: _containers.RepeatedCompositeFieldContainer[AssetRow]
    def __init__(self, base_time_us: _Optional[int] = ..., rows: _Optional[_Iterable[_Union[AssetRow, _Mapping]]] = ...) -> None: ...

class AssetRow(_message.Message):
    __slots__ = ("asset_index", "time_offset_us", "values", "qualities")
    ASSET_INDEX_FIELD_NUMBER: _ClassVar[int]
    TIME_OFFSET_US_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    QUALITIES_FIELD_NUMBER: _ClassVar[int]
    asset_index: int
    time_offset_us: int
    values: _containers.RepeatedScalarFieldContainer[float]
    qualities: _containers.RepeatedCompositeFieldContainer[ValueQuality]
    def __init__(self, asset_index: _Optional[int] = ..., time_offset_us: _Optional[int] = ..., values: _Optional[_Iterable[float]] = ..., qualities: _Optional[_Iterable[_Union[ValueQuality, _Mapping]]] = ...) -> None: ...

class ValueQuality(_message.Message):
    __slots__ = ("point_index", "quality", "reasons")
    POINT_INDEX_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    point_index: int
    quality: Quality
    reasons: int
    def __init__(self, point_index: _Optional[int] = ..., quality: _Optional[_Union[Quality, str]] = ..., reasons: _Optional[int] = ...) -> None: ...

class TelemetryAck(_message.Message):
    __slots__ = ("spool_id", "ranges")
    SPOOL_ID_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    spool_id: str
    ranges: _containers.RepeatedCompositeFieldContainer[SequenceRange]
    def __init__(self, spool_id: _Optional[str] = ..., ranges: _Optional[_Iterable[_Union[SequenceRange, _Mapping]]] = ...) -> None: ...

class SequenceRange(_message.Message):
    __slots__ = ("first", "last")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class GapReport(_message.Message):
    __slots__ = ("spool_id", "sequences", "from_us", "to_us", "samples", "reason")
    SPOOL_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    TO_US_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    spool_id: str
    sequences: SequenceRange
    from_us: int
    to_us: int
    samples: int
    reason: str
    def __init__(self, spool_id: _Optional[str] = ..., sequences: _Optional[_Union[SequenceRange, _Mapping]] = ..., from_us: _Optional[int] = ..., to_us: _Optional[int] = ..., samples: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("time_us", "asset_id", "name", "detail")
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    time_us: int
    asset_id: str
    name: str
    detail: str
    def __init__(self, time_us: _Optional[int] = ..., asset_id: _Optional[str] = ..., name: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class Dispatch(_message.Message):
    __slots__ = ("dispatch_id", "revision", "asset_id", "site_id", "setpoint_mw", "start_us", "until_us", "deliver_by_us", "priority", "reason", "requested_by", "on_limit", "schedule_id")
    DISPATCH_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    SETPOINT_MW_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    DELIVER_BY_US_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    ON_LIMIT_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_ID_FIELD_NUMBER: _ClassVar[int]
    dispatch_id: str
    revision: int
    asset_id: str
    site_id: str
    setpoint_mw: float
    start_us: int
    until_us: int
    deliver_by_us: int
    priority: int
    reason: str
    requested_by: str
    on_limit: OnLimit
    schedule_id: str
    def __init__(self, dispatch_id: _Optional[str] = ..., revision: _Optional[int] = ..., asset_id: _Optional[str] = ..., site_id: _Optional[str] = ..., setpoint_mw: _Optional[float] = ..., start_us: _Optional[int] = ..., until_us: _Optional[int] = ..., deliver_by_us: _Optional[int] = ..., priority: _Optional[int] = ..., reason: _Optional[str] = ..., requested_by: _Optional[str] = ..., on_limit: _Optional[_Union[OnLimit, str]] = ..., schedule_id: _Optional[str] = ...) -> None: ...

class CancelDispatch(_message.Message):
    __slots__ = ("dispatch_id", "revision", "reason")
    DISPATCH_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    dispatch_id: str
    revision: int
    reason: str
    def __init__(self, dispatch_id: _Optional[str] = ..., revision: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class DispatchUpdate(_message.Message):
    __slots__ = ("dispatch_id", "revision", "state", "time_us", "reason", "detail", "readback_mw", "superseded_by", "clamps", "split", "outcome", "local")
    DISPATCH_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    READBACK_MW_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_BY_FIELD_NUMBER: _ClassVar[int]
    CLAMPS_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    dispatch_id: str
    revision: int
    state: DispatchState
    time_us: int
    reason: str
    detail: str
    readback_mw: float
    superseded_by: str
    clamps: _containers.RepeatedCompositeFieldContainer[Clamp]
    split: Split
    outcome: Outcome
    local: LocalDispatch
    def __init__(self, dispatch_id: _Optional[str] = ..., revision: _Optional[int] = ..., state: _Optional[_Union[DispatchState, str]] = ..., time_us: _Optional[int] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., readback_mw: _Optional[float] = ..., superseded_by: _Optional[str] = ..., clamps: _Optional[_Iterable[_Union[Clamp, _Mapping]]] = ..., split: _Optional[_Union[Split, _Mapping]] = ..., outcome: _Optional[_Union[Outcome, _Mapping]] = ..., local: _Optional[_Union[LocalDispatch, _Mapping]] = ...) -> None: ...

class LocalDispatch(_message.Message):
    __slots__ = ("asset_id", "site_id", "setpoint_mw", "start_us", "until_us", "authority", "requested_by", "reason")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_ID_FIELD_NUMBER: _ClassVar[int]
    SETPOINT_MW_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    site_id: str
    setpoint_mw: float
    start_us: int
    until_us: int
    authority: Authority
    requested_by: str
    reason: str
    def __init__(self, asset_id: _Optional[str] = ..., site_id: _Optional[str] = ..., setpoint_mw: _Optional[float] = ..., start_us: _Optional[int] = ..., until_us: _Optional[int] = ..., authority: _Optional[_Union[Authority, str]] = ..., requested_by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Clamp(_message.Message):
    __slots__ = ("reason", "from_mw", "to_mw", "detail")
    REASON_FIELD_NUMBER: _ClassVar[int]
    FROM_MW_FIELD_NUMBER: _ClassVar[int]
    TO_MW_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    reason: str
    from_mw: float
    to_mw: float
    detail: str
    def __init__(self, reason: _Optional[str] = ..., from_mw: _Optional[float] = ..., to_mw: _Optional[float] = ..., detail: _Optional[str] = ...) -> None: ...

class Split(_message.Message):
    __slots__ = ("allocations", "placed_mw", "failed_mw", "unplaced_mw", "round")
    ALLOCATIONS_FIELD_NUMBER: _ClassVar[int]
    PLACED_MW_FIELD_NUMBER: _ClassVar[int]
    FAILED_MW_FIELD_NUMBER: _ClassVar[int]
    UNPLACED_MW_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    allocations: _containers.RepeatedCompositeFieldContainer[Allocation]
    placed_mw: float
    failed_mw: float
    unplaced_mw: float
    round: int
    def __init__(self, allocations: _Optional[_Iterable[_Union[Allocation, _Mapping]]] = ..., placed_mw: _Optional[float] = ..., failed_mw: _Optional[float] = ..., unplaced_mw: _Optional[float] = ..., round: _Optional[int] = ...) -> None: ...

class Allocation(_message.Message):
    __slots__ = ("asset_id", "setpoint_mw", "state", "limit", "reason", "detail", "readback_mw")
    ASSET_ID_FIELD_NUMBER: _ClassVar[int]
    SETPOINT_MW_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    READBACK_MW_FIELD_NUMBER: _ClassVar[int]
    asset_id: str
    setpoint_mw: float
    state: AllocationState
    limit: str
    reason: str
    detail: str
    readback_mw: float
    def __init__(self, asset_id: _Optional[str] = ..., setpoint_mw: _Optional[float] = ..., state: _Optional[_Union[AllocationState, str]] = ..., limit: _Optional[str] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., readback_mw: _Optional[float] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("followed_share", "delivered_mwh", "asked_mwh", "completeness", "from_us", "to_us", "setpoint_mw", "samples_good", "samples_expected")
    FOLLOWED_SHARE_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_MWH_FIELD_NUMBER: _ClassVar[int]
    ASKED_MWH_FIELD_NUMBER: _ClassVar[int]
    COMPLETENESS_FIELD_NUMBER: _ClassVar[int]
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    TO_US_FIELD_NUMBER: _ClassVar[int]
    SETPOINT_MW_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_GOOD_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_EXPECTED_FIELD_NUMBER: _ClassVar[int]
    followed_share: float
    delivered_mwh: float
    asked_mwh: float
    completeness: float
    from_us: int
    to_us: int
    setpoint_mw: float
    samples_good: int
    samples_expected: int
    def __init__(self, followed_share: _Optional[float] = ..., delivered_mwh: _Optional[float] = ..., asked_mwh: _Optional[float] = ..., completeness: _Optional[float] = ..., from_us: _Optional[int] = ..., to_us: _Optional[int] = ..., setpoint_mw: _Optional[float] = ..., samples_good: _Optional[int] = ..., samples_expected: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("time_us", "spool")
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    SPOOL_FIELD_NUMBER: _ClassVar[int]
    time_us: int
    spool: SpoolState
    def __init__(self, time_us: _Optional[int] = ..., spool: _Optional[_Union[SpoolState, _Mapping]] = ...) -> None: ...

class SpoolState(_message.Message):
    __slots__ = ("batches", "bytes", "oldest_us", "bytes_max", "dropped_samples", "trouble")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    OLDEST_US_FIELD_NUMBER: _ClassVar[int]
    BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    DROPPED_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    batches: int
    bytes: int
    oldest_us: int
    bytes_max: int
    dropped_samples: int
    trouble: str
    def __init__(self, batches: _Optional[int] = ..., bytes: _Optional[int] = ..., oldest_us: _Optional[int] = ..., bytes_max: _Optional[int] = ..., dropped_samples: _Optional[int] = ..., trouble: _Optional[str] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("reconnect_within_ms", "reason")
    RECONNECT_WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    reconnect_within_ms: int
    reason: str
    def __init__(self, reconnect_within_ms: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Reject(_message.Message):
    __slots__ = ("code", "detail", "sequence", "retry_after_ms", "final")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    code: RejectCode
    detail: str
    sequence: int
    retry_after_ms: int
    final: bool
    def __init__(self, code: _Optional[_Union[RejectCode, str]] = ..., detail: _Optional[str] = ..., sequence: _Optional[int] = ..., retry_after_ms: _Optional[int] = ..., final: _Optional[bool] = ...) -> None: ...

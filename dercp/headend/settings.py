"""Every limit of the headend, in one place, and what happens at each."""

import msgspec

from dercp.model.asset import RegistrationLimits


class HeadendSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much of everything. The comment of a field says what happens at the limit."""

    tenant_id: str = "default"

    # A call that says no Hello by then is rejected with HELLO_EXPECTED.
    hello_within_s: float = 10.0
    # Admission includes one durable write; later the call is rejected with OVERLOADED.
    admit_within_s: float = 10.0
    heartbeat_interval_s: float = 10.0
    # So many intervals without a message: the session ends as heartbeat_missed.
    heartbeats_missed_max: int = 3
    # A larger message is not taken in: the session ends with TOO_LARGE.
    message_bytes_max: int = 4 * 1024 * 1024
    # More rows: the batch is rejected with TOO_LARGE.
    rows_per_frame_max: int = 20_000
    # The latest row of an asset holds its whole frame; out of a larger one it is copied.
    frame_bytes_held_max: int = 64 * 1024
    # So many typed rejects in one session end it as too_many_rejects.
    rejects_per_session_max: int = 100
    # Registrations beyond these are rejected with BAD_REGISTRATION, TOO_MANY_ASSETS or TOO_LARGE.
    registration: RegistrationLimits = RegistrationLimits()

    # Ended sessions remembered per agent; the oldest is forgotten first.
    sessions_remembered_max: int = 20
    # So many sessions of one agent within the window count as flapping, loudly.
    flap_window_s: float = 300.0
    flaps_alarming: int = 6

    # Orders waiting for one session: one for each asset of the largest registration, and
    # some. Beyond, a dispatch goes back to submitted and is tried again.
    session_mailbox_max: int = 16_384
    # Messages waiting for one asset; a dispatch beyond is tried again, others wait.
    asset_mailbox_max: int = 32
    # Sessions coming and going at one site; the fleet waits beyond.
    site_mailbox_max: int = 256
    # Admissions and ends of sessions waiting; sessions wait their turn beyond.
    fleet_mailbox_max: int = 65_536
    # Worked on at the same time, as far as they do not concern each other.
    fleet_batch_max: int = 256
    # Telemetry not yet durable. Beyond either, a batch is not taken: it stays
    # unacknowledged, and the edge sends it again.
    ingest_mailbox_max: int = 20_000
    ingest_bytes_max: int = 64 * 1024 * 1024
    # Made durable by one write.
    ingest_batch_max: int = 1_000
    # Earlier registrations whose batches a session reads beside its own.
    registrations_per_session_max: int = 16
    # History read at a time; further readers wait their turn.
    history_reads_max: int = 4
    # At the end a batch on its way to the store is cut off after so long; it is in the log.
    drain_stop_within_s: float = 2.0
    # Registrations remembered for reading history; the longest unused is forgotten.
    history_layouts_max: int = 32
    # Assets whose registrations are remembered for writing wide rows; the longest unused is
    # forgotten, and read anew with its next batch.
    projection_assets_max: int = 100_000

    # Dispatch messages waiting; a POST beyond is answered 503 with Retry-After, a session waits.
    desk_mailbox_max: int = 4_096
    # Decided together and made durable by one write.
    desk_batch_max: int = 1024
    # A POST not answered by then gets 503; its key makes a repetition safe.
    submit_within_s: float = 5.0
    # Dispatches that have not ended; a POST beyond is answered 503 with Retry-After.
    dispatches_open_max: int = 100_000
    # Ended dispatches kept in memory for quick reads; older ones come from the ledger.
    dispatches_remembered_max: int = 10_000
    # After `until` the edge has so long to say how it ended, then it is unknown.
    dispatch_grace_s: float = 30.0

    # A portfolio beyond is refused.
    portfolios_max: int = 1_000

    # SIGTERM: agents are told to come back after a random share of this.
    drain_reconnect_within_s: float = 10.0
    stop_within_s: float = 8.0

-- Ids sort by their bytes, as they do in Python, whatever the database's language is.

-- One row: which store this is, and what it was made for: only what was made for development
-- is ever wiped. A copy made by a backup is the same store.
CREATE TABLE identity (
  only_one integer PRIMARY KEY CHECK (only_one = 1),
  identity uuid NOT NULL,
  purpose  text NOT NULL
);
INSERT INTO identity VALUES (1, gen_random_uuid(), 'production');

-- Registry -----------------------------------------------------------------

CREATE TABLE site (
  tenant_id text COLLATE "C" NOT NULL,
  site_id   text COLLATE "C" NOT NULL,
  name      text NOT NULL,
  PRIMARY KEY (tenant_id, site_id)
);

-- Named by its content: the same bytes from two agents are one row.
CREATE TABLE registration (
  registration_id bytea PRIMARY KEY,
  content         bytea NOT NULL,
  first_seen_us   bigint NOT NULL
);

CREATE TABLE agent (
  tenant_id        text COLLATE "C" NOT NULL,
  agent_id         text COLLATE "C" NOT NULL,
  site_id          text COLLATE "C" NOT NULL,
  epoch            bigint NOT NULL,
  registration_id  bytea NOT NULL REFERENCES registration,
  software_version text NOT NULL,
  spool_id         text NOT NULL,
  first_seen_us    bigint NOT NULL,
  last_seen_us     bigint NOT NULL,
  PRIMARY KEY (tenant_id, agent_id),
  FOREIGN KEY (tenant_id, site_id) REFERENCES site
);

CREATE TABLE asset_owner (
  tenant_id text COLLATE "C" NOT NULL,
  asset_id  text COLLATE "C" NOT NULL,
  agent_id  text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, asset_id),
  FOREIGN KEY (tenant_id, agent_id) REFERENCES agent
);
CREATE INDEX asset_owner_by_agent ON asset_owner (tenant_id, agent_id);

-- Session log ----------------------------------------------------------------

-- `position` counts insertions: wall clocks step back, this does not.
CREATE TABLE session (
  position        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  session_id      text COLLATE "C" NOT NULL UNIQUE,
  tenant_id       text COLLATE "C" NOT NULL,
  agent_id        text COLLATE "C" NOT NULL,
  epoch           bigint NOT NULL,
  peer            text NOT NULL,
  connected_us    bigint NOT NULL,
  disconnected_us bigint,
  reason          text,
  frames          bigint NOT NULL,
  samples         bigint NOT NULL,
  rejects         bigint NOT NULL
);
CREATE INDEX session_by_agent ON session (tenant_id, agent_id, position);
CREATE INDEX session_open ON session (position) WHERE disconnected_us IS NULL;

-- Dispatch ledger --------------------------------------------------------------

-- `body` is the dispatch as JSON; the columns beside it are what queries ask for.
CREATE TABLE dispatch (
  position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  dispatch_id  text COLLATE "C" NOT NULL UNIQUE,
  tenant_id    text COLLATE "C" NOT NULL,
  asset_id     text COLLATE "C",
  site_id      text COLLATE "C",
  portfolio_id text COLLATE "C",
  schedule_id  text COLLATE "C",
  parent_id    text COLLATE "C",
  state        text NOT NULL,
  final        boolean NOT NULL,
  created_us   bigint NOT NULL,
  until_us     bigint NOT NULL,
  body         text NOT NULL
);
CREATE INDEX dispatch_by_tenant ON dispatch (tenant_id, position);
CREATE INDEX dispatch_by_asset ON dispatch (tenant_id, asset_id, position) WHERE asset_id IS NOT NULL;
CREATE INDEX dispatch_by_site ON dispatch (tenant_id, site_id, position) WHERE site_id IS NOT NULL;
CREATE INDEX dispatch_by_portfolio ON dispatch (tenant_id, portfolio_id, position)
  WHERE portfolio_id IS NOT NULL;
CREATE INDEX dispatch_by_schedule ON dispatch (tenant_id, schedule_id, position)
  WHERE schedule_id IS NOT NULL;
CREATE INDEX dispatch_by_parent ON dispatch (tenant_id, parent_id, position)
  WHERE parent_id IS NOT NULL;
CREATE INDEX dispatch_open ON dispatch (position) WHERE NOT final;

CREATE TABLE idempotency_key (
  tenant_id   text COLLATE "C" NOT NULL,
  key         text COLLATE "C" NOT NULL,
  fingerprint text NOT NULL,
  dispatch_id text COLLATE "C" NOT NULL REFERENCES dispatch (dispatch_id) ON DELETE CASCADE,
  created_us  bigint NOT NULL,
  PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_key_by_dispatch ON idempotency_key (dispatch_id);

-- Portfolios ---------------------------------------------------------------------

CREATE TABLE portfolio (
  tenant_id    text COLLATE "C" NOT NULL,
  portfolio_id text COLLATE "C" NOT NULL,
  body         text NOT NULL,
  PRIMARY KEY (tenant_id, portfolio_id)
);

-- History ------------------------------------------------------------------------

CREATE TABLE spool (
  spool_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id text COLLATE "C" NOT NULL,
  agent_id  text COLLATE "C" NOT NULL,
  spool_id  text COLLATE "C" NOT NULL,
  UNIQUE (tenant_id, agent_id, spool_id)
);

-- One row, which every writer of history locks first: positions come in the order of commits.
CREATE TABLE extent (
  only_one         integer PRIMARY KEY CHECK (only_one = 1),
  pruned_position  bigint NOT NULL,
  last_position    bigint NOT NULL,
  gap_position     bigint NOT NULL,
  bytes            bigint NOT NULL,
  retained_from_us bigint,
  newest_us        bigint,
  newest_day       date NOT NULL
) WITH (fillfactor = 20);
INSERT INTO extent VALUES (1, 0, 0, 0, 0, NULL, NULL, '0001-01-01');

-- The days there are partitions for, and what of the log lies in each: dense positions, so
-- that days follow each other as their frames do.
CREATE TABLE history_day (
  day              date PRIMARY KEY,
  first_position   bigint,
  last_position    bigint,
  bytes            bigint NOT NULL DEFAULT 0,
  first_time_us    bigint,
  last_time_us     bigint,
  newest_ingest_us bigint,
  newest_us        bigint
) WITH (fillfactor = 20);

-- By day of arrival: only the newest partition is written to, a backlog is kept as long as
-- what came with it, and the order of the log is that of the partitions.
CREATE TABLE frame (
  day             date NOT NULL,
  position        bigint NOT NULL,
  spool_key       bigint NOT NULL,
  sequence        bigint NOT NULL,
  ingest_time_us  bigint NOT NULL,
  first_time_us   bigint NOT NULL,
  last_time_us    bigint NOT NULL,
  samples         integer NOT NULL,
  registration_id bytea NOT NULL,
  payload         bytea NOT NULL,
  PRIMARY KEY (position, day)
) PARTITION BY LIST (day);
-- A day's frames of a spool in the order of the log, their times looked at in the index alone.
CREATE INDEX frame_by_spool ON frame (spool_key, position, last_time_us, first_time_us);

-- Sequences logged or declared; they outlive the frames, and no batch gets past them twice.
CREATE TABLE stretch (
  spool_key bigint NOT NULL REFERENCES spool,
  account   text COLLATE "C" NOT NULL,
  first     bigint NOT NULL,
  last      bigint NOT NULL,
  from_us   bigint NOT NULL,
  to_us     bigint NOT NULL,
  PRIMARY KEY (spool_key, account, first)
) WITH (fillfactor = 50);

CREATE TABLE gap (
  position       bigint PRIMARY KEY,
  spool_key      bigint NOT NULL REFERENCES spool,
  first_sequence bigint NOT NULL,
  last_sequence  bigint NOT NULL,
  from_us        bigint NOT NULL,
  to_us          bigint NOT NULL,
  samples        bigint NOT NULL,
  reason         text NOT NULL,
  declared_us    bigint NOT NULL
);
CREATE INDEX gap_by_spool ON gap (spool_key, first_sequence);
CREATE INDEX gap_by_end ON gap (to_us);

-- For people with SQL: what the frames say, a row per asset and source time. A point that was
-- not known is null. By day of arrival, as the frames: a condition on ingest_time looks into
-- those days only.
CREATE TABLE samples (
  tenant_id             text COLLATE "C" NOT NULL,
  site_id               text COLLATE "C",
  asset_id              text COLLATE "C" NOT NULL,
  source_time           timestamptz NOT NULL,
  ingest_time           timestamptz NOT NULL,
  active_power_mw       double precision,
  reactive_power_mvar   double precision,
  voltage_v             double precision,
  frequency_hz          double precision,
  available_min_mw      double precision,
  available_max_mw      double precision,
  setpoint_mw           double precision,
  operating_state       double precision,
  fault_code            double precision,
  energy_exported_mwh   double precision,
  energy_imported_mwh   double precision,
  soc_pct               double precision,
  soh_pct               double precision,
  energy_capacity_mwh   double precision,
  temperature_c         double precision,
  irradiance_w_m2       double precision,
  dc_power_mw           double precision,
  module_temperature_c  double precision,
  wind_speed_m_s        double precision,
  wind_direction_deg    double precision,
  rotor_speed_rpm       double precision,
  nacelle_direction_deg double precision,
  pitch_deg             double precision,
  connectors_total      double precision,
  connectors_occupied   double precision,
  session_energy_mwh    double precision,
  vehicle_soc_pct       double precision,
  -- Points of a site's own, by name.
  others                jsonb,
  -- Quality by point, of those that are not good.
  quality               jsonb
) PARTITION BY RANGE (ingest_time);
CREATE INDEX samples_by_asset ON samples (tenant_id, asset_id, source_time);

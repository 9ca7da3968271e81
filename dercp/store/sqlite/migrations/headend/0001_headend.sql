-- Registry -----------------------------------------------------------------

CREATE TABLE site (
  tenant_id TEXT NOT NULL,
  site_id   TEXT NOT NULL,
  name      TEXT NOT NULL,
  PRIMARY KEY (tenant_id, site_id)
) STRICT, WITHOUT ROWID;

-- Named by its content: the same bytes from two agents are one row.
CREATE TABLE registration (
  registration_id BLOB PRIMARY KEY NOT NULL,
  content         BLOB NOT NULL,
  first_seen_us   INTEGER NOT NULL
) STRICT;

CREATE TABLE agent (
  tenant_id        TEXT NOT NULL,
  agent_id         TEXT NOT NULL,
  site_id          TEXT NOT NULL,
  epoch            INTEGER NOT NULL,
  registration_id  BLOB NOT NULL REFERENCES registration,
  software_version TEXT NOT NULL,
  spool_id         TEXT NOT NULL,
  first_seen_us    INTEGER NOT NULL,
  last_seen_us     INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, agent_id),
  FOREIGN KEY (tenant_id, site_id) REFERENCES site
) STRICT, WITHOUT ROWID;

CREATE TABLE asset_owner (
  tenant_id TEXT NOT NULL,
  asset_id  TEXT NOT NULL,
  agent_id  TEXT NOT NULL,
  PRIMARY KEY (tenant_id, asset_id),
  FOREIGN KEY (tenant_id, agent_id) REFERENCES agent
) STRICT, WITHOUT ROWID;
CREATE INDEX asset_owner_by_agent ON asset_owner (tenant_id, agent_id);

-- Session log ----------------------------------------------------------------

-- `position` counts insertions: wall clocks step back, this does not.
CREATE TABLE session (
  position        INTEGER PRIMARY KEY,
  session_id      TEXT NOT NULL UNIQUE,
  tenant_id       TEXT NOT NULL,
  agent_id        TEXT NOT NULL,
  epoch           INTEGER NOT NULL,
  peer            TEXT NOT NULL,
  connected_us    INTEGER NOT NULL,
  disconnected_us INTEGER,
  reason          TEXT,
  frames          INTEGER NOT NULL,
  samples         INTEGER NOT NULL,
  rejects         INTEGER NOT NULL
) STRICT;
CREATE INDEX session_by_agent ON session (tenant_id, agent_id, position);
CREATE INDEX session_open ON session (position) WHERE disconnected_us IS NULL;

-- Dispatch ledger --------------------------------------------------------------

-- `body` is the dispatch as JSON; the columns beside it are what queries ask for.
CREATE TABLE dispatch (
  position     INTEGER PRIMARY KEY,
  dispatch_id  TEXT NOT NULL UNIQUE,
  tenant_id    TEXT NOT NULL,
  asset_id     TEXT,
  site_id      TEXT,
  portfolio_id TEXT,
  schedule_id  TEXT,
  parent_id    TEXT,
  state        TEXT NOT NULL,
  final        INTEGER NOT NULL,
  created_us   INTEGER NOT NULL,
  until_us     INTEGER NOT NULL,
  body         TEXT NOT NULL
) STRICT;
CREATE INDEX dispatch_by_tenant ON dispatch (tenant_id, position);
CREATE INDEX dispatch_by_asset ON dispatch (tenant_id, asset_id, position) WHERE asset_id IS NOT NULL;
CREATE INDEX dispatch_by_site ON dispatch (tenant_id, site_id, position) WHERE site_id IS NOT NULL;
CREATE INDEX dispatch_by_portfolio ON dispatch (tenant_id, portfolio_id, position)
  WHERE portfolio_id IS NOT NULL;
CREATE INDEX dispatch_by_schedule ON dispatch (tenant_id, schedule_id, position)
  WHERE schedule_id IS NOT NULL;
CREATE INDEX dispatch_by_parent ON dispatch (tenant_id, parent_id, position)
  WHERE parent_id IS NOT NULL;
CREATE INDEX dispatch_open ON dispatch (position) WHERE final = 0;

CREATE TABLE idempotency_key (
  tenant_id   TEXT NOT NULL,
  key         TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  dispatch_id TEXT NOT NULL REFERENCES dispatch (dispatch_id) ON DELETE CASCADE,
  created_us  INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_key_by_dispatch ON idempotency_key (dispatch_id);

-- Portfolios -------------------------------------------------------------------

CREATE TABLE portfolio (
  tenant_id    TEXT NOT NULL,
  portfolio_id TEXT NOT NULL,
  body         TEXT NOT NULL,
  PRIMARY KEY (tenant_id, portfolio_id)
) STRICT, WITHOUT ROWID;

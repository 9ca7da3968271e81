-- The log is the table `frame`, and only ever grows at its end: an index by agent would have
-- every commit rewrite a page for each agent in it. What is derived from the log is written
-- once per segment (some thousand frames) and made good from the frames after it at opening.

CREATE TABLE spool (
  spool_key INTEGER PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  agent_id  TEXT NOT NULL,
  spool_id  TEXT NOT NULL,
  UNIQUE (tenant_id, agent_id, spool_id)
) STRICT;

-- Positions count up by one and are never used again. `checksum` is over the whole row.
CREATE TABLE frame (
  position        INTEGER PRIMARY KEY,
  spool_key       INTEGER NOT NULL,
  sequence        INTEGER NOT NULL,
  ingest_time_us  INTEGER NOT NULL,
  first_time_us   INTEGER NOT NULL,
  last_time_us    INTEGER NOT NULL,
  samples         INTEGER NOT NULL,
  checksum        INTEGER NOT NULL,
  registration_id BLOB NOT NULL,
  payload         BLOB NOT NULL
) STRICT;

-- Where the frames of a spool are: by segment, which is named by its last position.
CREATE TABLE segment (
  last_position INTEGER PRIMARY KEY,
  first_time_us INTEGER NOT NULL,
  last_time_us  INTEGER NOT NULL
) STRICT;

-- `positions` counts back from the last one of the segment, four bytes each.
CREATE TABLE segment_spool (
  last_position INTEGER NOT NULL,
  spool_key     INTEGER NOT NULL,
  first_time_us INTEGER NOT NULL,
  last_time_us  INTEGER NOT NULL,
  checksum      INTEGER NOT NULL,
  positions     BLOB NOT NULL,
  PRIMARY KEY (last_position, spool_key)
) STRICT, WITHOUT ROWID;

-- Sequences logged or declared; they outlive the frames.
CREATE TABLE stretch (
  spool_key INTEGER NOT NULL,
  account   TEXT NOT NULL,
  first     INTEGER NOT NULL,
  last      INTEGER NOT NULL,
  from_us   INTEGER NOT NULL,
  to_us     INTEGER NOT NULL,
  PRIMARY KEY (spool_key, account, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE gap (
  position       INTEGER PRIMARY KEY,
  spool_key      INTEGER NOT NULL,
  first_sequence INTEGER NOT NULL,
  last_sequence  INTEGER NOT NULL,
  from_us        INTEGER NOT NULL,
  to_us          INTEGER NOT NULL,
  samples        INTEGER NOT NULL,
  reason         TEXT NOT NULL,
  declared_us    INTEGER NOT NULL
) STRICT;
CREATE INDEX gap_by_spool ON gap (spool_key, first_sequence);
CREATE INDEX gap_by_end ON gap (to_us);

-- One row: how far frames are aged out, and how far the derived tables go.
CREATE TABLE extent (
  only_one         INTEGER PRIMARY KEY CHECK (only_one = 1),
  pruned_position  INTEGER NOT NULL,
  sealed_position  INTEGER NOT NULL,
  retained_from_us INTEGER,
  newest_us        INTEGER
) STRICT;
INSERT INTO extent VALUES (1, 0, 0, NULL, NULL);

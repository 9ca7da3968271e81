-- The log may be drained into another store. Each change of a gap counts up by one, so that a
-- gap that grew after it was drained is drained again.
ALTER TABLE gap ADD COLUMN change INTEGER NOT NULL DEFAULT 0;
UPDATE gap SET change = position;
CREATE INDEX gap_by_change ON gap (change);

-- One row: the store, up to where it has everything, and the last change of a gap.
CREATE TABLE drain (
  only_one    INTEGER PRIMARY KEY CHECK (only_one = 1),
  destination TEXT,
  position    INTEGER NOT NULL,
  gap_change  INTEGER NOT NULL,
  gap_changes INTEGER NOT NULL
) STRICT;
INSERT INTO drain SELECT 1, NULL, 0, 0, coalesce(max(position), 0) FROM gap;

-- Frames that the store would not take: they were acknowledged, so they are kept.
CREATE TABLE quarantine (
  position        INTEGER PRIMARY KEY,
  why             TEXT NOT NULL,
  tenant_id       TEXT NOT NULL,
  agent_id        TEXT NOT NULL,
  spool_id        TEXT NOT NULL,
  sequence        INTEGER NOT NULL,
  registration_id BLOB NOT NULL,
  ingest_time_us  INTEGER NOT NULL,
  first_time_us   INTEGER NOT NULL,
  last_time_us    INTEGER NOT NULL,
  samples         INTEGER NOT NULL,
  payload         BLOB NOT NULL
) STRICT;

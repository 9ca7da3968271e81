-- One row: only a store that was made for development is ever wiped.
CREATE TABLE purpose (
  only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
  purpose  TEXT NOT NULL
) STRICT;
INSERT INTO purpose VALUES (1, 'production');

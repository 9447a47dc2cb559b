-- `look` is the same for all names that look alike as they are written. `skeleton` cannot express that a capital I
-- looks like a small l, because it is computed from the lower-case name. The server fills in rows that have none ('')
-- when it starts.
ALTER TABLE channels ADD COLUMN look TEXT NOT NULL DEFAULT '';

CREATE INDEX channels_by_look ON channels (look) WHERE deleted_at IS NULL;

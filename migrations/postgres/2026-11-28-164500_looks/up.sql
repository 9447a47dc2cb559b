-- A capital I looks like a small l, which `skeleton` cannot say, for it is made of the name in lower case. `look` is one form
-- for all names that look alike as they are written. The server fills it in for rows that have none ('') when it starts.
ALTER TABLE channels ADD COLUMN look TEXT NOT NULL DEFAULT '';

CREATE INDEX channels_by_look ON channels (look) WHERE deleted_at IS NULL;

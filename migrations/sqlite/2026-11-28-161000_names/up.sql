-- Names are compared by what people can tell apart. `skeleton` is one form for all names that look alike, `search` the
-- folded username and display name. Both are computed by the server, which fills them in for rows that have none ('')
-- when it starts. `named_at` and `since` are positions of the log: from there on a channel had its name, and a user was
-- a member; 0 is before anything that is known.
ALTER TABLE users ADD COLUMN skeleton TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN search TEXT NOT NULL DEFAULT '';
ALTER TABLE channels ADD COLUMN skeleton TEXT NOT NULL DEFAULT '';
ALTER TABLE channels ADD COLUMN named_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE channel_members ADD COLUMN since BIGINT NOT NULL DEFAULT 0;

CREATE INDEX users_by_skeleton ON users (skeleton);
CREATE INDEX channels_by_skeleton ON channels (skeleton) WHERE deleted_at IS NULL;

-- A private channel takes no name from those who cannot see it: only the names of public channels are unique.
DROP INDEX channels_by_name;
CREATE INDEX channels_by_name ON channels (name, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX public_channels_by_name ON channels (name) WHERE deleted_at IS NULL AND visibility = 0;

-- Columns for comparing names. `skeleton` is the same for all names that look alike; `search` is the folded username
-- and display name. The server computes both, and fills in rows that have none ('') when it starts. `named_at` is the
-- position of the log at which the channel got its name, `since` the position at which the user became a member. 0
-- means before the oldest known position.
ALTER TABLE users ADD COLUMN skeleton TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN search TEXT NOT NULL DEFAULT '';
ALTER TABLE channels ADD COLUMN skeleton TEXT NOT NULL DEFAULT '';
ALTER TABLE channels ADD COLUMN named_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE channel_members ADD COLUMN since BIGINT NOT NULL DEFAULT 0;

CREATE INDEX users_by_skeleton ON users (skeleton);
CREATE INDEX channels_by_skeleton ON channels (skeleton) WHERE deleted_at IS NULL;

-- Only the names of public channels are unique. Otherwise a conflict would reveal the name of a private channel.
DROP INDEX channels_by_name;
CREATE INDEX channels_by_name ON channels (name, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX public_channels_by_name ON channels (name) WHERE deleted_at IS NULL AND visibility = 0;

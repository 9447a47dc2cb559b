-- Live values, which are not part of the log. Only the newest value matters.
CREATE TABLE metrics (
    name TEXT PRIMARY KEY NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    updated_at BIGINT NOT NULL
);

-- The instances that publish presence. If an instance stops raising `beat`, it is no longer running, and its rows are
-- deleted. `version` changes when its rows in `presence` change.
CREATE TABLE instances (
    id BIGINT PRIMARY KEY NOT NULL,
    beat BIGINT NOT NULL,
    version BIGINT NOT NULL
);

-- The users who are connected to an instance (channel 0), or present in a channel.
CREATE TABLE presence (
    instance_id BIGINT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    channel_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    PRIMARY KEY (instance_id, channel_id, user_id)
);

-- What is live, and no event: each value is only as good as it is fresh.
CREATE TABLE metrics (
    name TEXT PRIMARY KEY NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    updated_at BIGINT NOT NULL
);

-- The instances that have something to say of who is present. An instance whose `beat` stands still
-- is gone, and its rows with it; `version` moves when its rows in `presence` did.
CREATE TABLE instances (
    id BIGINT PRIMARY KEY NOT NULL,
    beat BIGINT NOT NULL,
    version BIGINT NOT NULL
);

-- Who is connected by an instance (channel 0), and present in which channel.
CREATE TABLE presence (
    instance_id BIGINT NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    channel_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    PRIMARY KEY (instance_id, channel_id, user_id)
);

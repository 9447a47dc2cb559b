-- Keys with which programs act as a user. `digest` is the SHA-256 digest of the secret, as hexadecimal digits. `scopes`
-- has one bit for each scope. A key with rows in `api_key_channels` at its creation is limited to channels
-- (`is_limited`), also after these channels were deleted.
CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name TEXT NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users (id),
    digest TEXT NOT NULL UNIQUE,
    scopes SMALLINT NOT NULL,
    is_limited BOOLEAN NOT NULL,
    mutations_per_second BIGINT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT
);

CREATE INDEX api_keys_by_user ON api_keys (user_id) WHERE revoked_at IS NULL;

CREATE TABLE api_key_channels (
    key_id BIGINT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    channel_id BIGINT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    PRIMARY KEY (key_id, channel_id)
);

CREATE INDEX api_key_channels_by_channel ON api_key_channels (channel_id);

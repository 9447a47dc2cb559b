-- Sessions that users have signed in to. `family` and `secret` are digests of the two parts of the refresh token: the
-- first part identifies the session, and the second part changes each time that the token is used. `last_session` is
-- the newest session of a user: a server that knows an older one reads the sessions again.
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    user_agent TEXT,
    family TEXT NOT NULL UNIQUE,
    secret TEXT NOT NULL
);

CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

ALTER TABLE users ADD COLUMN last_session BIGINT NOT NULL DEFAULT 0;

-- What several instances share: how often somebody tried to sign in, by a hash of the address and the
-- username, and when the log was last pruned. Times are microseconds since 1970.

CREATE TABLE sign_in_attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    key TEXT NOT NULL,
    at BIGINT NOT NULL
);

CREATE INDEX sign_in_attempts_by_key ON sign_in_attempts (key, at);
CREATE INDEX sign_in_attempts_by_time ON sign_in_attempts (at);

ALTER TABLE log_head ADD COLUMN pruned_at BIGINT NOT NULL DEFAULT 0;

-- State that all instances share: sign-in attempts, keyed by a hash of address and username, and the time of the last
-- pruning of the log. Times are microseconds since 1970 (UTC).

CREATE TABLE sign_in_attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    key TEXT NOT NULL,
    at BIGINT NOT NULL
);

CREATE INDEX sign_in_attempts_by_key ON sign_in_attempts (key, at);
CREATE INDEX sign_in_attempts_by_time ON sign_in_attempts (at);

ALTER TABLE log_head ADD COLUMN pruned_at BIGINT NOT NULL DEFAULT 0;

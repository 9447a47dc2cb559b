-- Tokens of other issuers belong to no session of ours. Those that were issued before `sessions_ended_at` are not valid any
-- more. `deleted_identities` has digests of the identities of deleted users: a token from before the deletion must not
-- create the user again.
ALTER TABLE users ADD COLUMN sessions_ended_at BIGINT;

CREATE TABLE deleted_identities (
    digest TEXT PRIMARY KEY NOT NULL,
    deleted_at BIGINT NOT NULL
);

CREATE INDEX deleted_identities_by_time ON deleted_identities (deleted_at);

-- When the token was issued whose profile the user has. An older token must not undo what a newer one says.
ALTER TABLE identities ADD COLUMN profile_at BIGINT NOT NULL DEFAULT 0;

-- Users have a kind (0: a person, 1: a service) and an email address. `identities` has the users of other issuers: each
-- subject of an issuer is one user. `created_user_id` of an idempotency key is the user that was created with it.
ALTER TABLE users ADD COLUMN kind SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN email TEXT;

CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users (id),
    PRIMARY KEY (issuer, subject)
);

CREATE INDEX identities_by_user ON identities (user_id);

ALTER TABLE idempotency_keys ADD COLUMN created_user_id BIGINT;
CREATE INDEX idempotency_keys_by_user ON idempotency_keys (created_user_id) WHERE created_user_id IS NOT NULL;

-- Links with which users set a new password. A user has at most one. `digest` is the digest of the token in the link.
CREATE TABLE password_resets (
    user_id BIGINT PRIMARY KEY NOT NULL REFERENCES users (id),
    digest TEXT NOT NULL UNIQUE,
    expires_at BIGINT NOT NULL
);

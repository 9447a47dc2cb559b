-- The tables of the first version: users, channels, messages and the event log. Times are microseconds since 1970
-- (UTC). `seq` and `tag` of an object are the position of the newest event that touched it. Ids are never reused
-- (AUTOINCREMENT), because the log refers to them after the object is deleted.

CREATE TABLE organizations (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE locations (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    organization_id BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    UNIQUE (organization_id, name)
);

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    username TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    role SMALLINT NOT NULL,
    disabled BOOLEAN NOT NULL,
    token_version BIGINT NOT NULL,
    organization_id BIGINT REFERENCES organizations (id),
    location_id BIGINT REFERENCES locations (id),
    created_at BIGINT NOT NULL
);

-- A deleted channel and its members keep their rows for as long as the log holds the deletion event: users who could
-- read the channel may still replay that event.
CREATE TABLE channels (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    visibility SMALLINT NOT NULL,
    owner_id BIGINT REFERENCES users (id),
    created_at BIGINT NOT NULL,
    deleted_at BIGINT,
    seq BIGINT NOT NULL,
    tag BIGINT NOT NULL
);

CREATE UNIQUE INDEX channels_by_name ON channels (name) WHERE deleted_at IS NULL;

CREATE TABLE channel_members (
    channel_id BIGINT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL REFERENCES users (id),
    PRIMARY KEY (channel_id, user_id)
);

CREATE INDEX channel_members_by_user ON channel_members (user_id);

CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    channel_id BIGINT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    title TEXT,
    content TEXT NOT NULL,
    author_id BIGINT NOT NULL REFERENCES users (id),
    restricted BOOLEAN NOT NULL,
    ticket_status SMALLINT,
    ticket_priority SMALLINT,
    assignee_id BIGINT REFERENCES users (id),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    tag BIGINT NOT NULL
);

CREATE INDEX messages_by_channel ON messages (channel_id, id);
CREATE INDEX messages_tickets ON messages (ticket_status, id) WHERE ticket_status IS NOT NULL;
CREATE INDEX messages_by_assignee ON messages (assignee_id, id) WHERE assignee_id IS NOT NULL;

CREATE TABLE message_locations (
    message_id BIGINT NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    location_id BIGINT NOT NULL REFERENCES locations (id),
    PRIMARY KEY (message_id, location_id)
);

CREATE TABLE comments (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    message_id BIGINT NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    content TEXT NOT NULL,
    author_id BIGINT NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    tag BIGINT NOT NULL
);

CREATE INDEX comments_by_message ON comments (message_id, id);

CREATE TABLE templates (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    author_id BIGINT NOT NULL REFERENCES users (id),
    restricted BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    tag BIGINT NOT NULL
);

CREATE TABLE template_locations (
    template_id BIGINT NOT NULL REFERENCES templates (id) ON DELETE CASCADE,
    location_id BIGINT NOT NULL REFERENCES locations (id),
    PRIMARY KEY (template_id, location_id)
);

-- A key is deleted together with the object that it created. `digest` is a hash of the input. A request with the same
-- key and another digest is an error; with the same digest it is a retry.
CREATE TABLE idempotency_keys (
    author_id BIGINT NOT NULL REFERENCES users (id),
    key TEXT NOT NULL,
    digest TEXT NOT NULL,
    message_id BIGINT REFERENCES messages (id) ON DELETE CASCADE,
    comment_id BIGINT REFERENCES comments (id) ON DELETE CASCADE,
    PRIMARY KEY (author_id, key)
);

CREATE INDEX idempotency_keys_by_message ON idempotency_keys (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX idempotency_keys_by_comment ON idempotency_keys (comment_id) WHERE comment_id IS NOT NULL;

-- Exactly one row: the number of the newest event (`head`), and of the newest event that changed permissions
-- (`access_head`). Every batch of the writer locks this row first. It checks permissions that are at least as new as
-- `access_head`, and finally sets the new numbers.
CREATE TABLE log_head (
    id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
    head BIGINT NOT NULL,
    access_head BIGINT NOT NULL
);

INSERT INTO log_head (id, head, access_head) VALUES (1, 0, 0);

-- The event log. It holds no content. `audience` is a comma-separated list of location ids, `format` the version of the
-- row's format. Row 0 is written at the first start, with the tag of the empty log.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY NOT NULL,
    tag BIGINT NOT NULL,
    format SMALLINT NOT NULL,
    kind SMALLINT NOT NULL,
    object_id BIGINT NOT NULL,
    channel_id BIGINT,
    message_id BIGINT,
    user_id BIGINT,
    owner_id BIGINT,
    actor_id BIGINT,
    ticket BOOLEAN NOT NULL,
    audience TEXT NOT NULL,
    at BIGINT NOT NULL
);

CREATE INDEX events_by_channel ON events (channel_id, seq) WHERE channel_id IS NOT NULL;
CREATE INDEX events_by_message ON events (message_id, seq) WHERE message_id IS NOT NULL;
CREATE INDEX events_by_user ON events (user_id, seq) WHERE user_id IS NOT NULL;

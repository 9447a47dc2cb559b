-- Notifications for one user (`user_id`), or for all users. A notification is kept until it has been read and its event
-- is pruned from the log.
CREATE TABLE notifications (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    user_id BIGINT REFERENCES users (id),
    title TEXT NOT NULL,
    message TEXT NOT NULL,
    priority SMALLINT NOT NULL,
    message_id BIGINT REFERENCES messages (id) ON DELETE SET NULL,
    created_at BIGINT NOT NULL,
    read_at BIGINT,
    seq BIGINT NOT NULL,
    tag BIGINT NOT NULL
);

CREATE INDEX notifications_by_user ON notifications (user_id, id);
CREATE INDEX notifications_by_message ON notifications (message_id) WHERE message_id IS NOT NULL;

-- The users who have read an announcement, which is a single notification for all users.
CREATE TABLE announcement_reads (
    notification_id BIGINT NOT NULL REFERENCES notifications (id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL REFERENCES users (id),
    read_at BIGINT NOT NULL,
    PRIMARY KEY (notification_id, user_id)
);

-- The newest message that a user has read in a channel.
CREATE TABLE channel_reads (
    user_id BIGINT NOT NULL REFERENCES users (id),
    channel_id BIGINT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    message_id BIGINT NOT NULL,
    PRIMARY KEY (user_id, channel_id)
);

CREATE INDEX channel_reads_by_channel ON channel_reads (channel_id);

-- JSON that the event itself carries, for events without an object in another table.
ALTER TABLE events ADD COLUMN payload TEXT;

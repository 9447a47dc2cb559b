-- Deletion in two phases. A deleted message is marked, which hides it from all users at once; the rows that depend on
-- it are then removed in small steps. One instance does this at a time, for as long as its lease in `log_head` lasts.
ALTER TABLE messages ADD COLUMN deleted_at BIGINT;
ALTER TABLE channels ADD COLUMN emptied_at BIGINT;
ALTER TABLE log_head ADD COLUMN removing_instance BIGINT NOT NULL DEFAULT 0;
ALTER TABLE log_head ADD COLUMN removing_until BIGINT NOT NULL DEFAULT 0;

CREATE INDEX messages_to_be_removed ON messages (id) WHERE deleted_at IS NOT NULL;
CREATE INDEX channels_to_be_emptied ON channels (id) WHERE deleted_at IS NOT NULL AND emptied_at IS NULL;
CREATE INDEX channels_to_be_removed ON channels (seq) WHERE deleted_at IS NOT NULL AND emptied_at IS NOT NULL;
CREATE INDEX notifications_to_be_removed ON notifications (seq) WHERE user_id IS NOT NULL AND read_at IS NOT NULL;

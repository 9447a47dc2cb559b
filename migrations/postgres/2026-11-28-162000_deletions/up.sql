-- A message that is deleted is marked, so that it is gone for everybody at once; what depends on it is removed in small
-- steps afterwards. One instance does that at a time, as long as its lease in `log_head` holds.
ALTER TABLE messages ADD COLUMN deleted_at BIGINT;
ALTER TABLE channels ADD COLUMN emptied_at BIGINT;
ALTER TABLE log_head ADD COLUMN removing_instance BIGINT NOT NULL DEFAULT 0;
ALTER TABLE log_head ADD COLUMN removing_until BIGINT NOT NULL DEFAULT 0;

CREATE INDEX messages_to_be_removed ON messages (id) WHERE deleted_at IS NOT NULL;
CREATE INDEX channels_to_be_emptied ON channels (id) WHERE deleted_at IS NOT NULL AND emptied_at IS NULL;
CREATE INDEX channels_to_be_removed ON channels (seq) WHERE deleted_at IS NOT NULL AND emptied_at IS NOT NULL;
CREATE INDEX notifications_to_be_removed ON notifications (seq) WHERE user_id IS NOT NULL AND read_at IS NOT NULL;

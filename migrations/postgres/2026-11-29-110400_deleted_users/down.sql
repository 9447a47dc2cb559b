ALTER TABLE notifications DROP COLUMN actor_id;
DROP TABLE user_removals;
ALTER TABLE users DROP COLUMN deleted_at;

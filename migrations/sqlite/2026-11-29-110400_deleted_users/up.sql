-- The row of a deleted user stays, without personal data, because the user's texts and the log refer to it.
-- `user_removals` has the deleted users about whom something remains to be done: to erase the user's texts, if
-- `has_texts`, and then to remove the user's rows of other tables. `actor_id` of a notification is the user who caused
-- it: its text has that user's name.
ALTER TABLE users ADD COLUMN deleted_at BIGINT;

CREATE TABLE user_removals (
    user_id BIGINT PRIMARY KEY NOT NULL REFERENCES users (id),
    has_texts BOOLEAN NOT NULL
);

ALTER TABLE notifications ADD COLUMN actor_id BIGINT;
UPDATE notifications SET actor_id = e.actor_id FROM events e WHERE e.kind = 14 AND e.object_id = notifications.id;

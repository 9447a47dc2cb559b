DROP FUNCTION tidings_unfollow(regclass);
DROP FUNCTION tidings_follow(regclass, text, text);
DROP FUNCTION tidings_publish_row() CASCADE;
DROP FUNCTION tidings_columns(jsonb, name[]);
DROP FUNCTION tidings_publish(text, text, jsonb, text);
DROP INDEX events_by_system_key;
DROP TABLE outbox_rejected;
DROP TABLE outbox;
DROP FUNCTION tidings_outbox_wake();

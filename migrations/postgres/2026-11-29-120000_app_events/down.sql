ALTER TABLE channels DROP COLUMN publishing;
DROP INDEX events_by_key;
DROP INDEX app_events_by_channel;
ALTER TABLE events DROP COLUMN key_digest;
ALTER TABLE events DROP COLUMN key;
ALTER TABLE events DROP COLUMN app_type;

DROP INDEX events_by_system_key;
DROP TABLE outbox_rejected;
DROP TABLE outbox;

ALTER TABLE events DROP COLUMN payload;
DROP TABLE channel_reads;
DROP TABLE announcement_reads;
DROP TABLE notifications;

DROP INDEX channels_by_look;
ALTER TABLE channels DROP COLUMN look;

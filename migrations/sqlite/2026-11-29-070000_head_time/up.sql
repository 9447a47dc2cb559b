-- The time of the newest event, for the next batch: times of events never decrease. It is in this row because a batch
-- locks the row, and reads its newest version. 0 if an earlier version of the server wrote the last event.
ALTER TABLE log_head ADD COLUMN at BIGINT NOT NULL DEFAULT 0;

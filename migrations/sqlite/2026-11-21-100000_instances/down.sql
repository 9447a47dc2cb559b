ALTER TABLE log_head DROP COLUMN pruned_at;
DROP TABLE sign_in_attempts;

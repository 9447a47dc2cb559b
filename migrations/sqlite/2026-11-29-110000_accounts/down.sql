ALTER TABLE users DROP COLUMN last_session;
DROP TABLE sessions;

ALTER TABLE identities DROP COLUMN profile_at;
DROP TABLE deleted_identities;
ALTER TABLE users DROP COLUMN sessions_ended_at;

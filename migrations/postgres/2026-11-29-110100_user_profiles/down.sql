DROP INDEX idempotency_keys_by_user;
ALTER TABLE idempotency_keys DROP COLUMN created_user_id;
DROP TABLE identities;
ALTER TABLE users DROP COLUMN email;
ALTER TABLE users DROP COLUMN kind;

-- How many times an instance has lost the connection on which it committed a batch, and has then not found the batch. The
-- statement of that batch may still arrive: it writes nothing if this number has changed. PostgreSQL only.
ALTER TABLE log_head ADD COLUMN fence BIGINT NOT NULL DEFAULT 0;

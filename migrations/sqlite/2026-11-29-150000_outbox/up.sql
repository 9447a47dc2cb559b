-- Application events that other programs publish in transactions of their own: they insert into `outbox`, and the server
-- moves the rows into the log in the order of their ids. `data` is JSON. `outbox_rejected` has the rows that cannot be
-- published, by their ids in `outbox`, with the reason (a label of the metrics), a sentence about it, and the time.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    channel TEXT NOT NULL,
    type TEXT NOT NULL,
    data TEXT NOT NULL,
    key TEXT
);

CREATE TABLE outbox_rejected (
    id INTEGER PRIMARY KEY NOT NULL,
    channel TEXT NOT NULL,
    type TEXT NOT NULL,
    data TEXT NOT NULL,
    key TEXT,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    rejected_at BIGINT NOT NULL
);

CREATE INDEX outbox_rejected_by_time ON outbox_rejected (rejected_at);

-- The idempotency keys of events without an actor. `events_by_key` does not make them unique: NULL equals nothing.
CREATE UNIQUE INDEX events_by_system_key ON events (key) WHERE actor_id IS NULL AND key IS NOT NULL;

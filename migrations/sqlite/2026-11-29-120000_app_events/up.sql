-- Application events, which programs publish with a type of their own. The event itself carries the data (`payload`).
-- `key` is the idempotency key with which its actor recorded an event, and `key_digest` a hash of the input. A key is
-- kept as long as its event.
ALTER TABLE events ADD COLUMN app_type TEXT;
ALTER TABLE events ADD COLUMN key TEXT;
ALTER TABLE events ADD COLUMN key_digest TEXT;

CREATE INDEX app_events_by_channel ON events (channel_id, seq) WHERE app_type IS NOT NULL;
CREATE UNIQUE INDEX events_by_key ON events (actor_id, key) WHERE key IS NOT NULL;

-- Which users may publish application events in the channel: 0 only admins and API keys, 1 its members, too.
ALTER TABLE channels ADD COLUMN publishing SMALLINT NOT NULL DEFAULT 0;

-- Writes a whole batch: the log head, all rows and all events. As a statement of its own it is also the transaction, so
-- the lock on the head is held only while this statement runs, and for its commit.
--
-- All parts depend on `numbered`, which comes from the update of the head. If the permissions in the log have changed,
-- no row is updated, and therefore nothing is written. The same happens if `fence` has changed: then the statement may
-- be of a batch that was lost, and written again meanwhile. If a row that commands have decided on has changed,
-- `end_if_changed` ends the statement: it inserts the head again, which violates the primary key. (The snapshot of the
-- statement may be older than the lock, so both conditions are put on rows that the statement locks: PostgreSQL
-- evaluates them again on the newest version.)
--
-- Negative numbers refer to new rows of this statement: -1 is the first one.
WITH input AS MATERIALIZED (
    SELECT $tag AS tag, $now AS now, $events AS events, $access_offset AS access_offset, $at AS at,
        $access_head AS access_head, $fence AS fence
), head AS (
    UPDATE log_head h SET
        head = h.head + i.events,
        access_head = CASE WHEN i.access_offset = 0 THEN h.access_head ELSE h.head + i.access_offset END,
        at = greatest(h.at, i.at)
    FROM input i WHERE h.access_head = i.access_head AND h.fence = i.fence
    RETURNING h.head - i.events AS base, h.at AS at
-- if message_versions
), held_messages AS (
    -- Without a position, only what a comment depends on is compared.
    SELECT m.id FROM head h, json_to_recordset($message_versions::json) AS c (
        id bigint, seq bigint, tag bigint, is_ticket boolean, assignee_id bigint),
    LATERAL (
        -- The use of `h` lets the lock on the head come first. One row after the other is found by its primary key.
        SELECT m.id FROM messages m
        WHERE m.id = CASE WHEN h.base >= 0 THEN c.id END AND (c.seq IS NULL OR (m.seq = c.seq AND m.tag = c.tag))
            AND m.deleted_at IS NULL AND (m.ticket_status IS NOT NULL) = c.is_ticket
            AND m.assignee_id IS NOT DISTINCT FROM c.assignee_id
        FOR NO KEY UPDATE) m
-- else
), held_messages AS (
    SELECT 1 WHERE FALSE
-- end
-- if comment_versions
), held_comments AS (
    SELECT m.id FROM head h, json_to_recordset($comment_versions::json) AS c (id bigint, seq bigint, tag bigint),
    LATERAL (
        SELECT m.id FROM comments m
        WHERE m.id = CASE WHEN h.base >= 0 THEN c.id END AND m.seq = c.seq AND m.tag = c.tag
        FOR NO KEY UPDATE) m
-- else
), held_comments AS (
    SELECT 1 WHERE FALSE
-- end
-- if outbox
), held_outbox AS MATERIALIZED (
    -- A row that another program has locked does not stop this statement: it counts as changed.
    SELECT o.id FROM head h, unnest($outbox) AS moved (id),
    LATERAL (SELECT f.id FROM outbox f WHERE f.id = CASE WHEN h.base >= 0 THEN moved.id END FOR UPDATE SKIP LOCKED) o
-- else
), held_outbox AS (
    SELECT 1 WHERE FALSE
-- end
), numbered AS MATERIALIZED (
    SELECT h.base, h.at, i.tag, i.now,
        (SELECT count(*) FROM held_messages) = $message_version_count
            AND (SELECT count(*) FROM held_comments) = $comment_version_count
            AND (SELECT count(*) FROM held_outbox) = $outbox_count AS is_unchanged
    FROM head h, input i
), end_if_changed AS (
    INSERT INTO log_head (id, head, access_head) SELECT 1, 0, 0 FROM numbered WHERE NOT is_unchanged
-- if new_messages
), new_messages AS MATERIALIZED (
    SELECT nextval('messages_id_seq') AS id, r.*, b.base, b.tag, b.now
    FROM numbered b, (
        SELECT * FROM json_to_recordset($new_messages::json) AS r (
            number bigint, channel_id bigint, title text, content text, author_id bigint, restricted boolean,
            ticket_status smallint, ticket_priority smallint, assignee_id bigint, seq bigint)
        ORDER BY number DESC) r
), message_ids AS MATERIALIZED (
    SELECT array_agg(id ORDER BY number DESC) AS messages FROM new_messages
), add_messages AS (
    INSERT INTO messages (id, channel_id, title, content, author_id, restricted, ticket_status, ticket_priority,
        assignee_id, created_at, updated_at, seq, tag)
    SELECT id, channel_id, title, content, author_id, restricted, ticket_status, ticket_priority,
        assignee_id, now, now, base - seq, tag FROM new_messages
), add_audiences AS (
    INSERT INTO message_locations (message_id, location_id)
    SELECT i.messages[-r.number], r.location_id
    FROM message_ids i, json_to_recordset($audiences::json) AS r (number bigint, location_id bigint)
-- else
), message_ids AS (
    SELECT ARRAY[]::bigint[] AS messages
-- end
-- if changed_messages
), update_messages AS (
    UPDATE messages m SET title = r.title, content = r.content, ticket_status = r.ticket_status,
        ticket_priority = r.ticket_priority, assignee_id = r.assignee_id, updated_at = b.now,
        seq = b.base - r.seq, tag = b.tag
    FROM numbered b, json_to_recordset($updated_messages::json) AS r (
        number bigint, title text, content text, ticket_status smallint, ticket_priority smallint, assignee_id bigint,
        seq bigint)
    WHERE m.id = r.number
), delete_messages AS (
    UPDATE messages m SET deleted_at = b.now FROM numbered b WHERE m.id = ANY ($deleted_messages)
-- end
-- if new_comments
), new_comments AS MATERIALIZED (
    SELECT nextval('comments_id_seq') AS id, r.*, b.base, b.tag, b.now
    FROM numbered b, (
        SELECT * FROM json_to_recordset($new_comments::json) AS r (
            number bigint, message_id bigint, content text, author_id bigint, seq bigint)
        ORDER BY number DESC) r
), comment_ids AS MATERIALIZED (
    SELECT array_agg(id ORDER BY number DESC) AS comments FROM new_comments
), add_comments AS (
    INSERT INTO comments (id, message_id, content, author_id, created_at, updated_at, seq, tag)
    SELECT id, message_id, content, author_id, now, now, base - seq, tag FROM new_comments
-- else
), comment_ids AS (
    SELECT ARRAY[]::bigint[] AS comments
-- end
-- if changed_comments
), update_comments AS (
    UPDATE comments c SET content = r.content, updated_at = b.now, seq = b.base - r.seq, tag = b.tag
    FROM numbered b, json_to_recordset($updated_comments::json) AS r (number bigint, content text, seq bigint)
    WHERE c.id = r.number
), delete_comments AS (
    DELETE FROM comments c USING numbered b WHERE c.id = ANY ($deleted_comments)
), delete_keys AS (
    DELETE FROM idempotency_keys k USING numbered b WHERE k.comment_id = ANY ($deleted_comments) RETURNING 1
-- else
), delete_keys AS (
    SELECT 1 WHERE FALSE
-- end
-- if new_notifications
), new_notifications AS MATERIALIZED (
    SELECT nextval('notifications_id_seq') AS id, r.*, b.base, b.tag, b.now
    FROM numbered b, (
        SELECT * FROM json_to_recordset($new_notifications::json) AS r (
            number bigint, user_id bigint, title text, before text, after text, priority smallint, message_id bigint,
            seq bigint, actor_id bigint)
        ORDER BY number DESC) r
), notification_ids AS MATERIALIZED (
    SELECT array_agg(id ORDER BY number DESC) AS notifications FROM new_notifications
), add_notifications AS (
    INSERT INTO notifications (id, user_id, title, message, priority, message_id, created_at, seq, tag, actor_id)
    SELECT n.id, n.user_id, n.title,
        CASE WHEN n.after IS NULL THEN n.before ELSE n.before || about.id || n.after END,
        n.priority, about.id, n.now, n.base - n.seq, n.tag, n.actor_id
    FROM new_notifications n, message_ids i, LATERAL (
        SELECT CASE WHEN n.message_id < 0 THEN i.messages[-n.message_id] ELSE n.message_id END AS id) about
-- else
), notification_ids AS (
    SELECT ARRAY[]::bigint[] AS notifications
-- end
-- if read_notifications
), read_notifications AS (
    UPDATE notifications n SET read_at = b.now FROM numbered b WHERE n.id = ANY ($read_notifications) AND n.read_at IS NULL
), read_announcements AS (
    INSERT INTO announcement_reads (notification_id, user_id, read_at)
    SELECT r.notification_id, r.user_id, b.now
    FROM numbered b, json_to_recordset($read_announcements::json) AS r (notification_id bigint, user_id bigint)
    ON CONFLICT DO NOTHING
-- end
-- if keys
), add_keys AS (
    INSERT INTO idempotency_keys (author_id, key, digest, message_id, comment_id, created_user_id)
    SELECT r.author_id, r.key, r.digest, i.messages[-r.message_number], j.comments[-r.comment_number], r.created_user_id
    -- A batch can use the key of a comment again that it deletes. The join makes the deletion come first.
    FROM (SELECT count(*) FROM delete_keys) d, numbered b, message_ids i, comment_ids j, json_to_recordset($keys::json) AS r (
        author_id bigint, key text, digest text, message_number bigint, comment_number bigint, created_user_id bigint)
-- end
-- if read_markers
), mark_read AS (
    INSERT INTO channel_reads (user_id, channel_id, message_id)
    SELECT r.user_id, r.channel_id, r.message_id
    FROM numbered b, json_to_recordset($read_markers::json) AS r (user_id bigint, channel_id bigint, message_id bigint)
    ON CONFLICT (user_id, channel_id) DO UPDATE SET message_id = greatest(channel_reads.message_id, excluded.message_id)
-- end
-- if metrics
), put_metrics AS (
    INSERT INTO metrics (name, value, updated_at)
    SELECT r.name, r.value, b.now
    FROM numbered b, json_to_recordset($metrics::json) AS r (name text, value double precision)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
-- end
-- if rejections
), reject_outbox AS (
    INSERT INTO outbox_rejected (id, channel, type, data, key, reason, detail, rejected_at)
    SELECT o.id, o.channel, o.type, substr(o.data, 1, $kept_data::integer), o.key, r.reason, r.detail, b.now
    FROM numbered b, json_to_recordset($rejections::json) AS r (id bigint, reason text, detail text),
        LATERAL (SELECT * FROM outbox f WHERE f.id = r.id OFFSET 0) o
    ON CONFLICT (id) DO UPDATE SET channel = excluded.channel, type = excluded.type, data = excluded.data,
        key = excluded.key, reason = excluded.reason, detail = excluded.detail, rejected_at = excluded.rejected_at
-- end
-- if outbox
), take_outbox AS (
    -- Only rows that are locked: waiting for another one would keep the head locked.
    DELETE FROM outbox o USING numbered b, held_outbox h WHERE o.id = h.id
-- end
-- if new_events
), add_events AS (
    INSERT INTO events (seq, tag, format, kind, object_id, channel_id, message_id, user_id, owner_id, actor_id, ticket,
        audience, at, payload, app_type, key, key_digest)
    SELECT b.base - r.seq, b.tag, r.format, r.kind,
        CASE WHEN r.object_id > 0 THEN r.object_id ELSE CASE r.kind
            WHEN 1 THEN i.messages[-r.object_id]
            WHEN 4 THEN j.comments[-r.object_id]
            WHEN 14 THEN k.notifications[-r.object_id]
            ELSE r.object_id END END,
        r.channel_id, CASE WHEN r.message_id < 0 THEN i.messages[-r.message_id] ELSE r.message_id END,
        r.user_id, r.owner_id, r.actor_id, r.ticket, r.audience, b.at, r.payload,
        r.app_type, r.key, r.key_digest
    FROM numbered b, message_ids i, comment_ids j, notification_ids k, json_to_recordset($new_events::json) AS r (
        seq bigint, format smallint, kind smallint, object_id bigint, channel_id bigint, message_id bigint,
        user_id bigint, owner_id bigint, actor_id bigint, ticket boolean, audience text, payload text, app_type text,
        key text, key_digest text)
-- end
)
SELECT base, at, i.messages, j.comments, k.notifications
FROM numbered, message_ids i, comment_ids j, notification_ids k

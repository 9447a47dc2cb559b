-- Reads a page of the log, with the objects that its events show, in one round trip and one snapshot. The numbers of
-- kinds are those of `EventKind`.
--
-- The plan is made once, possibly when the tables are almost empty, and must still be good when they are large. So each
-- object is found by its primary key: `LATERAL (... OFFSET 0)`, a subquery in place of EXISTS, and conditions outside of
-- it, which would allow an index on other columns, leave the planner no other way.
WITH position AS MATERIALIZED (
    SELECT h.head,
        (SELECT e.tag FROM events e WHERE e.seq = h.head) AS head_tag,
        (SELECT e.tag FROM events e WHERE e.seq = $after) AS after_tag,
        least(h.head, $limit) AS last
    FROM log_head h
), found AS MATERIALIZED (
    SELECT e.* FROM events e
    WHERE e.seq > $after AND e.seq <= (SELECT last FROM position)
-- if kinds
        AND e.kind = ANY ($kinds::smallint[])
-- end
-- if channel
        AND e.channel_id = $channel
-- end
-- if message
        AND (e.message_id = $message OR (e.channel_id = $channel AND e.kind = ANY ($wide::smallint[])))
-- end
-- if user
        AND e.user_id = $user
-- end
-- if user_or_all
        AND (e.user_id IS NULL OR e.user_id = $user)
-- end
-- if all
        AND e.user_id IS NULL
-- end
    ORDER BY e.seq LIMIT $rows
), sized AS (
    -- An object that several events show is counted for each of them.
    SELECT f.seq, $event_bytes + 4 * (octet_length(f.audience) + coalesce(octet_length(f.payload), 0))
        + coalesce(octet_length(f.key), 0) + coalesce(
        CASE
            WHEN f.kind IN (1, 2) THEN (SELECT octet_length(m.content) + coalesce(octet_length(m.title), 0)
                                        FROM messages m WHERE m.id = f.object_id)
            WHEN f.kind IN (4, 5) THEN (SELECT octet_length(c.content) FROM comments c WHERE c.id = f.object_id)
            WHEN f.kind IN (7, 8, 15, 16) THEN (SELECT octet_length(c.name) + coalesce(octet_length(c.description), 0)
                                            FROM channels c WHERE c.id = f.object_id)
            WHEN f.kind = 10 THEN (SELECT octet_length(t.content) FROM templates t WHERE t.id = f.object_id)
            WHEN f.kind = 14 THEN (SELECT octet_length(n.message) FROM notifications n WHERE n.id = f.object_id)
        END, 0) AS bytes
    FROM found f
), fitting AS MATERIALIZED (
    SELECT s.seq FROM (SELECT seq, sum(bytes) OVER (ORDER BY seq) AS bytes, row_number() OVER (ORDER BY seq) AS number
                       FROM sized) s
    WHERE s.number = 1 OR s.bytes <= $page_bytes
), page AS MATERIALIZED (
    SELECT f.* FROM found f WHERE f.seq <= (SELECT max(seq) FROM fitting)
), page_messages AS MATERIALIZED (
    SELECT m.* FROM (SELECT DISTINCT object_id AS id FROM page WHERE kind IN (1, 2)) shown,
        LATERAL (SELECT * FROM messages WHERE id = shown.id OFFSET 0) m
    WHERE m.deleted_at IS NULL AND (SELECT c.deleted_at IS NULL FROM channels c WHERE c.id = m.channel_id)
), page_comments AS MATERIALIZED (
    SELECT c.* FROM (SELECT DISTINCT object_id AS id FROM page WHERE kind IN (4, 5)) shown,
        LATERAL (SELECT * FROM comments WHERE id = shown.id OFFSET 0) c
    WHERE (SELECT m.deleted_at IS NULL AND (SELECT r.deleted_at IS NULL FROM channels r WHERE r.id = m.channel_id)
           FROM messages m WHERE m.id = c.message_id)
), page_channels AS MATERIALIZED (
    SELECT c.* FROM (SELECT DISTINCT object_id AS id FROM page WHERE kind IN (7, 8, 15, 16)) shown,
        LATERAL (SELECT * FROM channels WHERE id = shown.id OFFSET 0) c
    WHERE c.deleted_at IS NULL
), page_templates AS MATERIALIZED (
    SELECT t.* FROM (SELECT DISTINCT object_id AS id FROM page WHERE kind = 10) shown,
        LATERAL (SELECT * FROM templates WHERE id = shown.id OFFSET 0) t
), page_notifications AS MATERIALIZED (
    SELECT n.id, n.user_id, n.title, n.message, n.priority,
        -- Without the message, if that was deleted.
        (SELECT m.id FROM messages m WHERE m.id = n.message_id AND m.deleted_at IS NULL
             AND (SELECT c.deleted_at IS NULL FROM channels c WHERE c.id = m.channel_id)) AS message_id,
        n.created_at, n.read_at, n.seq, n.tag
    FROM (SELECT DISTINCT object_id AS id FROM page WHERE kind = 14) shown,
        LATERAL (SELECT * FROM notifications WHERE id = shown.id OFFSET 0) n
)
SELECT json_build_object(
    'head', (SELECT json_build_array(head, head_tag) FROM position),
    'after_tag', (SELECT after_tag FROM position),
    -- The page ends at its last event if it is full.
    'end', (SELECT CASE
        WHEN (SELECT count(*) FROM page) < (SELECT count(*) FROM found) OR (SELECT count(*) FROM found) = $rows
            THEN (SELECT json_build_array(p.seq, p.tag) FROM page p ORDER BY p.seq DESC LIMIT 1)
        ELSE (SELECT json_build_array(e.seq, e.tag) FROM events e WHERE e.seq = (SELECT last FROM position)) END),
    'events', (SELECT json_agg(p ORDER BY p.seq) FROM page p),
    'messages', (SELECT json_agg(m) FROM page_messages m),
    'audiences', (SELECT json_agg(json_build_array(l.message_id, l.location_id)) FROM page_messages m,
                      LATERAL (SELECT * FROM message_locations WHERE message_id = m.id OFFSET 0) l
                  WHERE m.restricted),
    'comments', (SELECT json_agg(c) FROM page_comments c),
    'channels', (SELECT json_agg(c) FROM page_channels c),
    'templates', (SELECT json_agg(t) FROM page_templates t),
    'template_audiences', (SELECT json_agg(json_build_array(l.template_id, l.location_id)) FROM page_templates t,
                               LATERAL (SELECT * FROM template_locations WHERE template_id = t.id OFFSET 0) l),
    'notifications', (SELECT json_agg(n) FROM page_notifications n)
)::text AS page

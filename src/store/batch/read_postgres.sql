-- Reads the log head and everything that the commands of a batch need, in one round trip and one snapshot.
--
-- The plan is made once, possibly when the tables are almost empty, and must still be good when they are large. So rows
-- are found by `LATERAL (... OFFSET 0)`: one at a time, by the index on what is compared.
WITH start AS (SELECT 1
-- if keys
), used_keys AS MATERIALIZED (
    SELECT k.author_id, k.key, k.digest, k.message_id, k.comment_id, k.created_user_id
    FROM unnest($key_authors, $keys) AS needed (author_id, key),
        LATERAL (SELECT * FROM idempotency_keys u WHERE u.author_id = needed.author_id AND u.key = needed.key OFFSET 0) k
-- else
), used_keys AS (
    SELECT NULL::bigint AS message_id, NULL::bigint AS comment_id WHERE FALSE
-- end
-- if comments
), needed_comments AS MATERIALIZED (
    SELECT c.* FROM (SELECT unnest($comments) AS id UNION SELECT comment_id FROM used_keys) needed,
        LATERAL (SELECT * FROM comments WHERE id = needed.id OFFSET 0) c
-- else
), needed_comments AS (
    SELECT NULL::bigint AS message_id WHERE FALSE
-- end
-- if messages
), needed_messages AS MATERIALIZED (
    SELECT m.* FROM (SELECT unnest($messages) AS id UNION SELECT message_id FROM used_keys
                     UNION SELECT message_id FROM needed_comments) needed,
        LATERAL (SELECT * FROM messages WHERE id = needed.id OFFSET 0) m
    WHERE m.deleted_at IS NULL
-- else
), needed_messages AS (
    SELECT NULL::bigint AS id, NULL::bigint AS channel_id, NULL::bigint AS author_id, NULL::bigint AS assignee_id
    WHERE FALSE
-- end
), needed_channels AS MATERIALIZED (
    SELECT c.* FROM (SELECT unnest($channels) AS id UNION SELECT channel_id FROM needed_messages) needed,
        LATERAL (SELECT * FROM channels WHERE id = needed.id OFFSET 0) c
    WHERE c.deleted_at IS NULL
-- if users
), people AS MATERIALIZED (
    SELECT author_id, assignee_id FROM needed_messages WHERE id = ANY ($people)
), needed_users AS MATERIALIZED (
    SELECT u.* FROM (SELECT unnest($users) AS id UNION SELECT author_id FROM people UNION SELECT assignee_id FROM people) needed,
        LATERAL (SELECT * FROM users WHERE id = needed.id OFFSET 0) u
    UNION
    SELECT u.* FROM unnest($usernames) AS needed (name),
        LATERAL (SELECT * FROM users WHERE username = needed.name OFFSET 0) u
    UNION
    SELECT u.* FROM unnest($skeletons) AS needed (skeleton),
        LATERAL (SELECT * FROM users f WHERE f.skeleton = needed.skeleton OFFSET 0) u
-- end
-- if notifications
), needed_notifications AS MATERIALIZED (
    SELECT n.* FROM unnest($notifications) AS needed (id),
        LATERAL (SELECT * FROM notifications WHERE id = needed.id OFFSET 0) n
-- end
-- if positions
), positions AS MATERIALIZED (
    SELECT needed.channel_id, needed.seq, needed.tag,
        (SELECT e.tag FROM events e WHERE e.seq = needed.seq) AS found_tag,
        -- Message ids grow in log order, so the message before the next one is the last one posted.
        coalesce(
            (SELECT e.object_id - 1 FROM events e
             WHERE (e.channel_id, e.seq) > (needed.channel_id, needed.seq) AND e.channel_id <= needed.channel_id
                 AND e.kind = 1
             ORDER BY e.channel_id, e.seq LIMIT 1),
            (SELECT m.id FROM messages m WHERE m.channel_id = ANY (ARRAY[needed.channel_id])
             ORDER BY m.channel_id DESC, m.id DESC LIMIT 1)
        ) AS newest
    FROM unnest($position_channels, $position_seqs, $position_tags) AS needed (channel_id, seq, tag)
-- end
-- if locked_outbox
), free_outbox AS MATERIALIZED (
    -- No other batch is between its reading and its writing now, so a locked row is locked by another program.
    SELECT o.id FROM unnest($outbox) AS needed (id),
        LATERAL (SELECT f.id FROM outbox f WHERE f.id = needed.id OFFSET 0 FOR UPDATE SKIP LOCKED) o
-- end
)
SELECT json_build_object(
    'head', (SELECT json_build_array(h.head, e.tag, greatest(h.at, e.at), h.access_head, h.fence)
             FROM log_head h JOIN events e ON e.seq = h.head),
-- if keys
    'keys', (SELECT json_agg(k) FROM used_keys k),
-- end
-- if event_keys
    'event_keys', (SELECT json_agg(json_build_array(e.actor_id, e.key, e.seq, e.tag, e.at, e.object_id, e.key_digest))
                   FROM unnest($event_key_actors, $event_keys) AS needed (actor_id, key)
                   JOIN events e ON e.actor_id = needed.actor_id AND e.key = needed.key AND e.key IS NOT NULL),
-- end
-- if system_keys
    'system_keys', (SELECT json_agg(json_build_array(e.actor_id, e.key, e.seq, e.tag, e.at, e.object_id, e.key_digest))
                    FROM unnest($system_keys) AS needed (key),
                        LATERAL (SELECT * FROM events f
                                 WHERE f.key = needed.key AND f.actor_id IS NULL AND f.key IS NOT NULL OFFSET 0) e),
-- end
-- if outbox
    'outbox', (SELECT json_agg(o.id) FROM unnest($outbox) AS needed (id),
                   LATERAL (SELECT * FROM outbox f WHERE f.id = needed.id OFFSET 0) o),
-- end
-- if locked_outbox
    'outbox', (SELECT json_agg(id) FROM free_outbox),
-- end
-- if comments
    'comments', (SELECT json_agg(c) FROM needed_comments c),
-- end
-- if messages
    'messages', (SELECT json_agg(m) FROM needed_messages m),
    'audiences', (SELECT json_agg(json_build_array(l.message_id, l.location_id)) FROM needed_messages m,
                      LATERAL (SELECT * FROM message_locations WHERE message_id = m.id OFFSET 0) l
                  WHERE m.restricted),
-- end
    'channels', (SELECT json_agg(c) FROM needed_channels c),
-- if users
    'users', (SELECT json_agg(json_build_object(
                  'id', u.id, 'username', u.username, 'display_name', u.display_name, 'role', u.role,
                  'disabled', u.disabled, 'token_version', u.token_version, 'organization_id', u.organization_id,
                  'location_id', u.location_id, 'created_at', u.created_at,
                  'last_session', u.last_session, 'kind', u.kind, 'email', u.email,
                  'deleted_at', u.deleted_at)) FROM needed_users u),
    'members', (SELECT json_agg(json_build_array(m.channel_id, m.user_id)) FROM needed_channels c, needed_users u,
                    LATERAL (SELECT * FROM channel_members WHERE channel_id = c.id AND user_id = u.id OFFSET 0) m),
    'locations_of_users', (SELECT json_agg(json_build_array(l.id, l.organization_id))
                           FROM (SELECT DISTINCT organization_id AS id FROM needed_users) needed,
                               LATERAL (SELECT * FROM locations WHERE organization_id = needed.id OFFSET 0) l),
-- end
-- if locations
    'locations', (SELECT json_agg(json_build_array(l.id, l.organization_id)) FROM unnest($locations) AS needed (id),
                      LATERAL (SELECT * FROM locations WHERE id = needed.id OFFSET 0) l),
-- end
-- if notifications
    'notifications', (SELECT json_agg(n) FROM (
        SELECT n.id, n.user_id, n.title, n.message, n.priority,
            (SELECT m.id FROM messages m WHERE m.id = n.message_id AND m.deleted_at IS NULL
                 AND (SELECT c.deleted_at IS NULL FROM channels c WHERE c.id = m.channel_id)) AS message_id,
            n.created_at, n.read_at, n.seq, n.tag
        FROM needed_notifications n) n),
    'read_announcements', (SELECT json_agg(json_build_array(r.notification_id, r.user_id))
                           FROM unnest($notifications, $readers) AS needed (id, reader),
                               LATERAL (SELECT * FROM announcement_reads
                                        WHERE notification_id = needed.id AND user_id = needed.reader OFFSET 0) r),
-- end
-- if positions
    'positions', (SELECT json_agg(p) FROM positions p),
    'oldest', (SELECT json_build_array(e.seq, e.tag) FROM events e ORDER BY e.seq LIMIT 1),
-- end
-- if metrics
    'metrics', (SELECT json_agg(m.name) FROM unnest($metrics) AS needed (name),
                    LATERAL (SELECT * FROM metrics f WHERE f.name = needed.name OFFSET 0) m),
    'metric_count', (SELECT count(*) FROM metrics),
-- end
    'applied_tag', (SELECT e.tag FROM events e WHERE e.seq = $applied)
)::text AS rows

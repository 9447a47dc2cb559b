-- Reads the log head and everything that the commands of a batch need, in one round trip and one snapshot.
WITH start AS (SELECT 1
-- if keys
), used_keys AS MATERIALIZED (
    SELECT k.author_id, k.key, k.digest, k.message_id, k.comment_id
    FROM unnest($key_authors, $keys) AS needed (author_id, key)
    JOIN idempotency_keys k ON k.author_id = needed.author_id AND k.key = needed.key
-- else
), used_keys AS (
    SELECT NULL::bigint AS message_id, NULL::bigint AS comment_id WHERE FALSE
-- end
-- if comments
), needed_comments AS MATERIALIZED (
    SELECT c.* FROM comments c
    WHERE c.id = ANY ($comments || ARRAY(SELECT comment_id FROM used_keys WHERE comment_id IS NOT NULL))
-- else
), needed_comments AS (
    SELECT NULL::bigint AS message_id WHERE FALSE
-- end
-- if messages
), needed_messages AS MATERIALIZED (
    SELECT m.* FROM messages m
    WHERE m.deleted_at IS NULL
      AND m.id = ANY ($messages || ARRAY(SELECT message_id FROM used_keys WHERE message_id IS NOT NULL)
                                || ARRAY(SELECT message_id FROM needed_comments))
-- else
), needed_messages AS (
    SELECT NULL::bigint AS id, NULL::bigint AS channel_id, NULL::bigint AS author_id, NULL::bigint AS assignee_id
    WHERE FALSE
-- end
), needed_channels AS MATERIALIZED (
    SELECT c.* FROM channels c
    WHERE c.deleted_at IS NULL AND c.id = ANY ($channels || ARRAY(SELECT channel_id FROM needed_messages))
-- if users
), people AS MATERIALIZED (
    SELECT author_id, assignee_id FROM needed_messages WHERE id = ANY ($people)
), needed_users AS MATERIALIZED (
    SELECT u.* FROM users u
    WHERE u.id = ANY ($users || ARRAY(SELECT author_id FROM people)
                             || ARRAY(SELECT assignee_id FROM people WHERE assignee_id IS NOT NULL))
    UNION
    SELECT u.* FROM users u WHERE u.username = ANY ($usernames)
    UNION
    SELECT u.* FROM users u WHERE u.skeleton = ANY ($skeletons)
-- end
-- if notifications
), needed_notifications AS MATERIALIZED (
    SELECT n.* FROM notifications n WHERE n.id = ANY ($notifications)
-- end
-- if positions
), positions AS MATERIALIZED (
    SELECT needed.channel_id, needed.seq, needed.tag,
        (SELECT e.tag FROM events e WHERE e.seq = needed.seq) AS found_tag,
        -- Message ids grow in log order, so the message before the next one is the last one posted.
        coalesce(
            (SELECT e.object_id - 1 FROM events e
             WHERE (e.channel_id, e.seq) > (needed.channel_id, needed.seq) AND e.channel_id <= needed.channel_id AND e.kind = 1
             ORDER BY e.channel_id, e.seq LIMIT 1),
            (SELECT m.id FROM messages m WHERE m.channel_id = ANY (ARRAY[needed.channel_id])
             ORDER BY m.channel_id DESC, m.id DESC LIMIT 1)
        ) AS newest
    FROM unnest($position_channels, $position_seqs, $position_tags) AS needed (channel_id, seq, tag)
-- end
)
SELECT json_build_object(
    'head', (SELECT json_build_array(h.head, e.tag, greatest(h.at, e.at), h.access_head, h.fence)
             FROM log_head h JOIN events e ON e.seq = h.head),
-- if keys
    'keys', (SELECT json_agg(k) FROM used_keys k),
-- end
-- if comments
    'comments', (SELECT json_agg(c) FROM needed_comments c),
-- end
-- if messages
    'messages', (SELECT json_agg(m) FROM needed_messages m),
    'audiences', (SELECT json_agg(json_build_array(l.message_id, l.location_id)) FROM message_locations l
                  WHERE l.message_id = ANY (ARRAY(SELECT id FROM needed_messages WHERE restricted))),
-- end
    'channels', (SELECT json_agg(c) FROM needed_channels c),
-- if users
    'users', (SELECT json_agg(json_build_object(
                  'id', u.id, 'username', u.username, 'display_name', u.display_name, 'role', u.role,
                  'disabled', u.disabled, 'token_version', u.token_version, 'organization_id', u.organization_id,
                  'location_id', u.location_id, 'created_at', u.created_at)) FROM needed_users u),
    'members', (SELECT json_agg(json_build_array(m.channel_id, m.user_id)) FROM channel_members m
                WHERE m.channel_id = ANY (ARRAY(SELECT id FROM needed_channels))
                  AND m.user_id = ANY (ARRAY(SELECT id FROM needed_users))),
    'locations_of_users', (SELECT json_agg(json_build_array(l.id, l.organization_id)) FROM locations l
                           WHERE l.organization_id = ANY (ARRAY(SELECT organization_id FROM needed_users))),
-- end
-- if locations
    'locations', (SELECT json_agg(json_build_array(l.id, l.organization_id)) FROM locations l
                  WHERE l.id = ANY ($locations)),
-- end
-- if notifications
    'notifications', (SELECT json_agg(n) FROM (
        SELECT n.id, n.user_id, n.title, n.message, n.priority, m.id AS message_id, n.created_at, n.read_at, n.seq, n.tag
        FROM needed_notifications n LEFT JOIN messages m ON m.id = n.message_id AND m.deleted_at IS NULL
            AND EXISTS (SELECT FROM channels c WHERE c.id = m.channel_id AND c.deleted_at IS NULL)) n),
    'read_announcements', (SELECT json_agg(json_build_array(r.notification_id, r.user_id)) FROM announcement_reads r
                           WHERE r.notification_id = ANY (ARRAY(SELECT id FROM needed_notifications))
                             AND r.user_id = ANY ($readers)),
-- end
-- if positions
    'positions', (SELECT json_agg(p) FROM positions p),
    'oldest', (SELECT json_build_array(e.seq, e.tag) FROM events e ORDER BY e.seq LIMIT 1),
-- end
-- if metrics
    'metrics', (SELECT json_agg(m.name) FROM metrics m WHERE m.name = ANY ($metrics)),
    'metric_count', (SELECT count(*) FROM metrics),
-- end
    'applied_tag', (SELECT e.tag FROM events e WHERE e.seq = $applied)
)::text AS rows

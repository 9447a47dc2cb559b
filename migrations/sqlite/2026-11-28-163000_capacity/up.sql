-- Indexes for lists, so that queries skip rows that the viewer may not see. Unrestricted messages are read by channel.
-- Restricted messages are read by author, and by the locations that they are for.
CREATE INDEX messages_open ON messages (channel_id, restricted, id);
CREATE INDEX messages_open_tickets ON messages (channel_id, restricted, id) WHERE ticket_status IS NOT NULL;
CREATE INDEX messages_open_by_status ON messages (channel_id, restricted, ticket_status, id) WHERE ticket_status IS NOT NULL;
CREATE INDEX messages_open_assigned ON messages (assignee_id, channel_id, restricted, id) WHERE assignee_id IS NOT NULL;
CREATE INDEX messages_restricted ON messages (author_id, id) WHERE restricted;
CREATE INDEX message_locations_by_location ON message_locations (location_id, message_id);

CREATE INDEX templates_open ON templates (restricted, id);
CREATE INDEX templates_by_author ON templates (author_id);
CREATE INDEX template_locations_by_location ON template_locations (location_id, template_id);

CREATE INDEX channels_by_visibility ON channels (visibility, name) WHERE deleted_at IS NULL;
CREATE INDEX notifications_unread ON notifications (user_id, id) WHERE read_at IS NULL;

-- Invitations to register. `uses` counts the accounts that were created with one; at most `max_uses`, if that is set.
CREATE TABLE invites (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    code TEXT NOT NULL UNIQUE,
    role SMALLINT NOT NULL,
    organization_id BIGINT REFERENCES organizations (id),
    location_id BIGINT REFERENCES locations (id),
    max_uses BIGINT,
    uses BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

CREATE TABLE invite_channels (
    invite_id BIGINT NOT NULL REFERENCES invites (id) ON DELETE CASCADE,
    channel_id BIGINT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    PRIMARY KEY (invite_id, channel_id)
);

CREATE INDEX invite_channels_by_channel ON invite_channels (channel_id);

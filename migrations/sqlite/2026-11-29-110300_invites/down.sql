DROP TABLE invite_channels;
DROP TABLE invites;

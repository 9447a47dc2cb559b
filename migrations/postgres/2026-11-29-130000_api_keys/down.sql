DROP TABLE api_key_channels;
DROP TABLE api_keys;

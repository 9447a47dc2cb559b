DROP TABLE presence;
DROP TABLE instances;
DROP TABLE metrics;

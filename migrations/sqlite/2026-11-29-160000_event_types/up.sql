-- The types of application events that admins have defined. `schema` is the JSON Schema that the data of events of this
-- type must fit. An event of a type that is not here may have any data.
CREATE TABLE event_types (
    name TEXT NOT NULL PRIMARY KEY,
    description TEXT,
    schema TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

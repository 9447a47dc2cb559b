//! What the GraphQL surface promises to clients: objects, numbers, errors, coercions, documents.

mod surface;

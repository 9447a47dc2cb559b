//! What the GraphQL surface promises to clients: objects, numbers, errors, coercions, documents.

mod broken;
mod documents;
mod hints;
mod merging;
mod numbers;
mod paths;
mod rules;
mod surface;

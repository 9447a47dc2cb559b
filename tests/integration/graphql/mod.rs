//! The GraphQL interface: objects, numbers, errors, coercion and documents.

mod broken;
mod documents;
mod hints;
mod merging;
mod numbers;
mod paths;
mod rules;
mod surface;

//! The GraphQL interface: objects, numbers, errors, coercion and documents.

mod documents;
mod merging;
mod numbers;
mod object_fields;
mod paths;
mod suggestions;
mod unparsable_values;
mod validation_rules;

//! The GraphQL interface: objects, numbers, errors, coercion, documents and interrupted mutations.

mod documents;
mod interrupted_mutations;
mod merging;
mod numbers;
mod object_fields;
mod paths;
mod suggestions;
mod unparsable_values;
mod validation_rules;

//! The types of juniper for documents and values, with the scalars of tidings.

use super::scalar::Scalar;

/// The values of the variables of an operation, by name.
pub type Variables = juniper::Variables<Scalar>;
/// A value in a response.
pub type Value = juniper::Value<Scalar>;
/// A value in a document or in a variable.
pub type InputValue = juniper::InputValue<Scalar>;
/// An operation in a document.
pub type OperationNode<'a> = juniper::Operation<'a, Scalar>;
/// A field, a fragment spread or an inline fragment in a document.
pub type Selection<'a> = juniper::Selection<'a, Scalar>;
/// A value of an argument in a document, and its place.
pub type ArgumentValue = juniper::Spanning<InputValue>;
/// An argument in a document: its name and its value, each with its place.
pub type Argument<'a> = (juniper::Spanning<&'a str>, ArgumentValue);

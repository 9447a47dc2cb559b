//! The GraphQL schema, its resolvers, and the engine that executes operations. This module knows neither sockets nor
//! SQL. Rules about objects and permissions belong to `board`.

mod allowance;
mod coercion;
mod context;
mod cost;
mod counts;
mod document;
mod engine;
mod enums;
mod errors;
mod events;
mod executable;
mod execute;
mod hints;
mod inputs;
mod items;
mod json;
mod list;
mod literals;
mod live;
mod loaders;
mod measure;
mod merge;
mod mutation;
mod notifications;
mod nul;
mod nulls;
mod objects;
mod paging;
mod people;
mod query;
mod reader_gate;
mod render;
mod repeated;
mod request;
mod result_fields;
mod scalar;
mod scalars;
mod source;
mod subscription;
mod templates;
mod tree_memory;
mod variables;

pub use allowance::{Batch, SMALL, Text};
pub use context::Caller;
pub use counts::Counts;
pub use document::Refusal;
pub use engine::{Engine, Prepared, sdl};
pub use errors::{response as errors_response, to_json};
pub use execute::Answer;
pub use juniper::OperationType;
pub use measure::Limits;
pub use render::ItemRenderer;
pub use request::{Request, Unreadable};

use mutation::Mutation;
use query::Query;
use scalar::Scalar;
use subscription::Subscription;

/// The GraphQL schema of tidings.
type Schema = juniper::RootNode<Query, Mutation, Subscription, Scalar>;
/// The values of the variables of an operation, by name.
type Variables = juniper::Variables<Scalar>;
/// A value in a response.
type Value = juniper::Value<Scalar>;
/// A value in a document or in a variable.
type InputValue = juniper::InputValue<Scalar>;

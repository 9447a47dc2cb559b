//! The language: the schema, its resolvers, and the engine that executes operations of it. It
//! knows no sockets and no SQL; what things mean is decided below, in `board`.

mod change;
mod context;
mod cost;
mod counts;
mod document;
mod engine;
mod enums;
mod errors;
mod events;
mod execute;
mod inputs;
mod json;
mod live;
mod loaders;
mod measure;
mod mutation;
mod notifications;
mod nul;
mod objects;
mod paging;
mod people;
mod query;
mod render;
mod scalars;
mod subscription;
mod templates;

pub use context::{Caller, Delivery};
pub use counts::Counts;
pub use document::Refusal;
pub use engine::{Engine, Live, Prepared, Request, sdl};
pub use errors::{response as errors_response, to_json};
pub use execute::Answer;
pub use juniper::{OperationType, Variables};
pub use measure::Limits;
pub use render::Rendering;

use mutation::Mutation;
use query::Query;
use subscription::Subscription;

/// The schema of tidings.
type Schema = juniper::RootNode<Query, Mutation, Subscription>;

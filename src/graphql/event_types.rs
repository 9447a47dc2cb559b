//! The GraphQL type of a type of application events.

use std::sync::Arc;

use juniper::graphql_object;

use super::context::Ctx;
use super::json::Json;
use super::scalar::Scalar;
use super::scalars::DateTime;
use crate::error::Result;
use crate::model::{self, JsonText};

/// A type of application events as a GraphQL object.
#[derive(Clone)]
pub struct EventType(Arc<model::EventType>);

impl EventType {
    /// Wraps a type.
    pub fn new(found: model::EventType) -> Self {
        Self(Arc::new(found))
    }
}

/// A type of application events that an admin has defined. The data of its events fits a schema.
#[graphql_object(context = Ctx, scalar = Scalar)]
impl EventType {
    /// The type.
    #[graphql(name = "type")]
    fn event_type(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.0.name)
    }

    /// What events of this type mean.
    fn description(&self, ctx: &Ctx) -> Result<Option<&str>> {
        ctx.show_some(self.0.description.as_deref())
    }

    /// The JSON Schema (2020-12) that the data fits.
    fn schema(&self, ctx: &Ctx) -> Result<Json> {
        ctx.allowance().show(self.0.schema.len())?;
        Ok(Json(JsonText::stored(&self.0.schema)))
    }

    /// When the type was defined last.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}

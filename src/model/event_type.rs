//! Types of application events that an admin has defined.

use std::sync::Arc;

use super::{Timestamp, Weight};

/// A type of application events, with a schema for their data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventType {
    /// The type.
    pub name: Arc<str>,
    /// What events of this type mean.
    pub description: Option<String>,
    /// The JSON Schema that the data must fit, as JSON text.
    pub schema: Arc<str>,
    /// When the type was defined last.
    pub updated_at: Timestamp,
}

impl Weight for EventType {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.schema.len() + self.description.as_ref().map_or(0, String::len)
    }
}

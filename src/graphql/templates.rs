//! Templates as GraphQL types: texts that are kept to be used again.

use std::sync::Arc;

use juniper::{ID, graphql_object};

use super::context::Ctx;
use super::paging::{PageArgs, connection};
use super::scalars::{Cursor, DateTime, out};
use crate::error::Result;
use crate::model;
use crate::store;

/// A reusable text.
#[derive(Clone)]
pub struct Template {
    template: Arc<model::Template>,
    delivered: Option<model::Cursor>,
}

impl Template {
    /// Wraps a template.
    #[must_use]
    pub fn new(template: Arc<model::Template>) -> Self {
        Self { template, delivered: None }
    }

    /// As the object of an event.
    #[must_use]
    pub fn delivered(self, cursor: model::Cursor) -> Self {
        Self { delivered: Some(cursor), ..self }
    }
}

/// A reusable text for messages and replies, shared with locations.
#[graphql_object(context = Ctx)]
impl Template {
    /// The id.
    fn id(&self) -> ID {
        out(self.template.id)
    }

    /// The name.
    fn name(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.template.name)
    }

    /// The text.
    fn content(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.template.content)
    }

    /// The id of its author.
    fn author_id(&self) -> ID {
        out(self.template.author_id)
    }

    /// With which locations it is shared; an empty list means everybody.
    fn share_location_ids(&self, ctx: &Ctx) -> Result<Vec<ID>> {
        ctx.show_ids(&self.template.audience.0)
    }

    /// When it was made.
    fn created_at(&self) -> DateTime {
        DateTime(self.template.created_at)
    }

    /// The event that last touched it; inside a subscription, the event being delivered.
    fn cursor(&self) -> Cursor {
        self.delivered.unwrap_or(self.template.cursor).into()
    }

    /// The event that last touched it, inside a subscription too.
    fn revision(&self) -> Cursor {
        self.template.cursor.into()
    }
}

connection!(TemplateConnection, TemplateEdge, Template, "TemplateConnection", "TemplateEdge", "templates by age");

impl TemplateConnection {
    /// A page of the templates shared with the viewer.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `BAD_USER_INPUT`; those of the database.
    pub fn load(ctx: &Ctx, args: &PageArgs) -> Result<Self> {
        ctx.signed_in()?;
        let (window, rights) = (args.window("templates by age")?, ctx.rights()?);
        let key = |template: &model::Template| template.id;
        let list = |db: &mut store::Db, part: &_| store::templates::list(db, &rights, part);
        let page = ctx.page(&window, ctx.largest().template, key, list)?;
        Ok(Self::new(
            page,
            &window,
            |template: &model::Template| template.id,
            |template| Template::new(Arc::new(template)),
        ))
    }
}

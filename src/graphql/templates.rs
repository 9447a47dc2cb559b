//! The GraphQL types of templates, which are reusable texts.

use std::sync::Arc;

use juniper::{ID, graphql_object};

use super::context::Ctx;
use super::paging::{PageArgs, connection};
use super::scalars::{Cursor, DateTime, to_id};
use crate::error::Result;
use crate::model;

/// A template as a GraphQL object.
#[derive(Clone)]
pub struct Template {
    template: Arc<model::Template>,
    /// The position of the event that a subscription delivers; `None` outside a subscription.
    delivered: Option<model::Cursor>,
}

impl Template {
    /// Wraps a template. Its fields load no other objects.
    #[must_use]
    pub fn new(template: Arc<model::Template>) -> Self {
        Self { template, delivered: None }
    }

    /// Sets the position of the event that delivers the object.
    #[must_use]
    pub fn delivered(self, cursor: model::Cursor) -> Self {
        Self { delivered: Some(cursor), ..self }
    }
}

/// A reusable text for messages and comments. Its author shares it with all users or with the users of some locations.
#[graphql_object(context = Ctx)]
impl Template {
    /// The id of the template.
    fn id(&self) -> ID {
        to_id(self.template.id)
    }

    /// The name of the template.
    fn name(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.template.name)
    }

    /// The text of the template.
    fn content(&self, ctx: &Ctx) -> Result<&str> {
        ctx.show(&self.template.content)
    }

    /// The id of the template's author.
    fn author_id(&self) -> ID {
        to_id(self.template.author_id)
    }

    /// The ids of the locations whose users may read the template. Empty if all signed-in users may read it.
    fn share_location_ids(&self, ctx: &Ctx) -> Result<Vec<ID>> {
        ctx.show_ids(&self.template.audience.0)
    }

    /// When the template was created.
    fn created_at(&self) -> DateTime {
        DateTime(self.template.created_at)
    }

    /// The position of the template's last change in the log. In a subscription: the position of the delivered event.
    fn cursor(&self) -> Cursor {
        self.delivered.unwrap_or(self.template.cursor).into()
    }

    /// The position of the template's last change in the log, in a subscription too.
    fn revision(&self) -> Cursor {
        self.template.cursor.into()
    }
}

connection!(TemplateConnection, TemplateEdge, Template, "TemplateConnection", "TemplateEdge", "templates by age");

impl TemplateConnection {
    /// Loads a page of the templates that the viewer may read, ordered by age.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the viewer is not signed in, `BAD_USER_INPUT` for a wrong page argument,
    /// `QUERY_TOO_COMPLEX` if the response becomes too large or the query too slow, `UNAVAILABLE` if the database or
    /// memory is not available.
    pub fn load(ctx: &Ctx, args: &PageArgs) -> Result<Self> {
        let window = args.window("templates by age")?;
        let key = |template: &model::Template| template.id;
        let page = ctx.page(&window, ctx.largest().template, key, |view, part| view.templates(part))?;
        Ok(Self::new(
            page,
            &window,
            |template: &model::Template| template.id,
            |template| Template::new(Arc::new(template)),
        ))
    }
}

//! Sharing and deleting templates.

use std::sync::Arc;

use super::messages::{audience, known_locations};
use super::{Board, Viewer, text};
use crate::error::{Error, Result};
use crate::model::{Body, EventKind, LocationId, Template, TemplateId};
use crate::store::{Change, templates};

/// A template to be shared.
#[derive(Debug, Clone)]
pub struct NewTemplate {
    /// Its name.
    pub name: String,
    /// Its text.
    pub content: String,
    /// With which locations; empty means everybody.
    pub locations: Vec<LocationId>,
}

impl Board {
    /// Shares a template.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `RATE_LIMITED`.
    pub async fn add_template(&self, viewer: &Viewer, new: NewTemplate) -> Result<Template> {
        let author = self.actor(viewer)?.user.id;
        let name = text::name("name", &new.name, self.rules.max_title)?;
        let content = text::required("content", &new.content, self.rules.max_content)?;
        let audience = audience(new.locations)?;
        let viewer = viewer.clone();
        self.store
            .write(move |tx| {
                viewer.standing()?;
                known_locations(tx, &audience)?;
                let (now, cursor) = (tx.now(), tx.next_cursor());
                let template = templates::insert(tx.write(), &name, &content, author, audience.clone(), now, cursor)?;
                let change = Change::new(EventKind::TemplateAdded, template.id.0, Some(author));
                tx.record(change.for_audience(&audience, author), Body::Template(Arc::new(template.clone())));
                Ok(template)
            })
            .await
    }

    /// Deletes a template.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `RATE_LIMITED`.
    pub async fn delete_template(&self, viewer: &Viewer, id: TemplateId) -> Result<TemplateId> {
        let actor = self.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        self.store
            .write(move |tx| {
                let rights = viewer.rights()?;
                let template = templates::find(tx.read(), &rights, id)?.ok_or(Error::NotFound("template"))?;
                if !rights.admin && template.author_id != actor {
                    return Err(Error::Forbidden("only the author or an admin may delete a template".into()));
                }
                templates::delete(tx.write(), id)?;
                let change = Change::new(EventKind::TemplateDeleted, id.0, Some(actor));
                tx.record(change.for_audience(&template.audience, template.author_id), Body::None);
                Ok(id)
            })
            .await
    }
}

//! Use cases of templates: create and delete.

use std::sync::Arc;

use super::commands::Commands;
use super::messages::{audience, check_locations};
use super::{Policy, Viewer, validate};
use crate::error::{Error, Result};
use crate::model::{EventBody, EventKind, LocationId, Template, TemplateId};
use crate::store::{NewEvent, templates};

/// The input for a new template.
#[derive(Debug, Clone)]
pub struct NewTemplate {
    /// The name of the template.
    pub name: String,
    /// The text; must not be empty.
    pub content: String,
    /// The locations whose users may see the template; empty means all users.
    pub locations: Vec<LocationId>,
}

/// The use cases of templates.
pub struct Templates {
    pub(super) commands: Arc<Commands>,
    pub(super) policy: Arc<Policy>,
}

impl Templates {
    /// Creates a template and shares it with its audience.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` for an invalid field. `RATE_LIMITED` if the user's
    /// budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn create(&self, viewer: &Viewer, new: NewTemplate) -> Result<Template> {
        let author = self.commands.actor(viewer)?.user.id;
        let name = validate::name("name", &new.name, self.policy.max_title)?;
        let content = validate::required("content", &new.content, self.policy.max_content)?;
        let audience = audience(new.locations)?;
        let viewer = viewer.clone();
        self.commands
            .write(move |tx| {
                viewer.user_state()?;
                check_locations(tx, &audience)?;
                let (now, cursor) = (tx.now(), tx.next_cursor());
                let template = templates::insert(tx.write(), &name, &content, author, audience.clone(), now, cursor)?;
                let change = NewEvent::new(EventKind::TemplateAdded, template.id.0, Some(author));
                tx.record(change.for_audience(&audience, author), EventBody::Template(Arc::new(template.clone())));
                Ok(template)
            })
            .await
    }

    /// Deletes a template.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `NOT_FOUND` if the template does not exist for the viewer.
    /// `FORBIDDEN` if the viewer is neither its author nor an admin. `RATE_LIMITED` if the user's budget of mutations
    /// is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn delete(&self, viewer: &Viewer, id: TemplateId) -> Result<TemplateId> {
        let actor = self.commands.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        self.commands
            .write(move |tx| {
                let rights = viewer.rights()?;
                let template = templates::find(tx.read(), &rights, id)?.ok_or(Error::NotFound("template"))?;
                if !rights.admin && template.author_id != actor {
                    return Err(Error::Forbidden("only the author or an admin may delete a template".into()));
                }
                templates::delete(tx.write(), id)?;
                let change = NewEvent::new(EventKind::TemplateDeleted, id.0, Some(actor));
                tx.record(change.for_audience(&template.audience, template.author_id), EventBody::None);
                Ok(id)
            })
            .await
    }
}

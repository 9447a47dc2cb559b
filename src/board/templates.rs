//! Use cases of templates: create and delete.

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use super::commands::{Commands, ViewerCommand};
use super::messages::{audience, check_locations};
use super::permissions::UserState;
use super::{Policy, Viewer, validate};
use crate::error::{Error, Result};
use crate::model::{Audience, EventBody, EventKind, LocationId, Template, TemplateId};
use crate::store::{BatchState, Effects, Needs, NewEvent, SingleWrite};

/// The provisional id of a template that is being created.
const NEW_TEMPLATE: TemplateId = TemplateId(-1);

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
        self.commands.actor(viewer)?;
        let name = validate::name("name", &new.name, self.policy.max_title)?;
        let content = validate::required("content", &new.content, self.policy.max_content)?;
        let audience = audience(new.locations)?;
        self.commands.run(viewer, CreateTemplate { name, content, audience }).await
    }

    /// Deletes a template.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `NOT_FOUND` if the template does not exist for the viewer.
    /// `FORBIDDEN` if the viewer is neither its author nor an admin. `RATE_LIMITED` if the user's budget of mutations
    /// is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn delete(&self, viewer: &Viewer, id: TemplateId) -> Result<TemplateId> {
        self.commands.actor(viewer)?;
        self.commands.run(viewer, DeleteTemplate(id)).await
    }
}

struct CreateTemplate {
    name: String,
    content: String,
    audience: Audience,
}

impl ViewerCommand for CreateTemplate {
    type Output = Template;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.lock_head();
        needs.audience(&self.audience);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Template, Effects)> {
        actor.check_unlimited()?;
        check_locations(state, &self.audience)?;
        let mut effects = state.effects();
        let template = Template {
            id: NEW_TEMPLATE,
            name: self.name.clone(),
            content: self.content.clone(),
            author_id: actor.user.id,
            audience: self.audience.clone(),
            created_at: state.now(),
            cursor: effects.next_cursor(),
        };
        effects.write(SingleWrite::AddTemplate(template.clone()));
        record(&mut effects, EventKind::TemplateAdded, &template, actor);
        Ok((template, effects))
    }
}

struct DeleteTemplate(TemplateId);

impl ViewerCommand for DeleteTemplate {
    type Output = TemplateId;

    fn needs(&self, actor: &UserState, needs: &mut Needs) {
        needs.template(&actor.rights, self.0);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(TemplateId, Effects)> {
        actor.check_unlimited()?;
        let template = state.template(self.0)?;
        if !actor.rights.admin && template.author_id != actor.user.id {
            return Err(Error::Forbidden("only the author or an admin may delete a template".into()));
        }
        let mut effects = state.effects();
        effects.write(SingleWrite::DeleteTemplate(template.id));
        record(&mut effects, EventKind::TemplateDeleted, template, actor);
        Ok((template.id, effects))
    }
}

fn record(effects: &mut Effects, kind: EventKind, template: &Template, actor: &UserState) {
    let change = NewEvent::new(kind, template.id.0, Some(actor.user.id));
    let body = match kind {
        EventKind::TemplateAdded => EventBody::Template(Arc::new(template.clone())),
        _ => EventBody::None,
    };
    effects.record(change.for_audience(&template.audience, template.author_id), body);
}

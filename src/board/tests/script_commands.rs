//! The commands of scripts.

use super::any_command::AnyCommand;
use super::script::{CommandKind, ExpectedVersion, GivenCommand};
use crate::board::{
    Assignment, ChannelEdit, CommentEdit, MessageEdit, NewComment, NewMessage, NewTicket, TicketEdit, accounts,
    app_events, broadcasts, channels, comments, messages, metrics, notifications, organizations, templates,
};
use crate::model::{
    ChannelId, CommentId, Cursor, LocationId, MessageId, NotificationId, OrganizationId, Tag, TemplateId, TicketStatus,
    UserId,
};
use crate::store::TestTables;

/// Texts, most of which mention users.
const TEXTS: [&str; 6] = ["text", "@ben", "@cleo and @DAN", "@ada @ben @nobody @eve", "@еve", ""];
/// Names, some of which look alike.
const NAMES: [&str; 5] = ["general", "staff", "GENERAL", "genera1", "other"];

/// The id that a number selects among those up to `last`, which may belong to deleted objects. Unknown ids are high ones:
/// whether a client can guess the next id depends on the division into batches.
fn selected(selector: u8, last: i64) -> i64 {
    match selector {
        0..=239 => last - i64::from(selector) % last.max(1),
        240..=247 => 1_000_000,
        248..=255 => 247 - i64::from(selector),
    }
}

fn text(selector: u8) -> String {
    format!("{} .", TEXTS[usize::from(selector) % TEXTS.len()])
}

fn named(selector: u8) -> &'static str {
    NAMES[usize::from(selector) % NAMES.len()]
}

fn key(selector: Option<u8>) -> Option<String> {
    selector.map(|selector| format!("key {selector}"))
}

impl ExpectedVersion {
    fn cursor(self, current: Option<Cursor>, tables: &TestTables) -> Option<Cursor> {
        match self {
            Self::Any => None,
            Self::Current => current,
            Self::Old => tables.log.first().map(|logged| logged.event.cursor),
        }
    }
}

impl GivenCommand {
    /// The command, for a client that knows these tables.
    pub fn command(&self, tables: &TestTables) -> AnyCommand {
        let groups = [Self::message_command, Self::comment_command, Self::channel_command, Self::admin_command];
        groups.iter().find_map(|group| group(self, tables)).expect("each kind is a command")
    }

    /// Whether the command changes messages, comments or notifications only. Other commands can lock the log head.
    pub fn changes_content(&self, tables: &TestTables) -> bool {
        self.message_command(tables).or_else(|| self.comment_command(tables)).is_some()
    }

    fn message_command(&self, tables: &TestTables) -> Option<AnyCommand> {
        use CommandKind as Kind;
        let (actor, last) = (self.actor(), &tables.last_ids);
        let message = |selector: u8| {
            let id = MessageId(selected(selector, last.messages));
            (id, tables.messages.get(&id).map(|message| message.cursor))
        };
        let user = |selector: u8| UserId(selected(selector, last.users));
        Some(match &self.kind {
            Kind::Post { channel, text: content, ticket, location, key: name } => {
                let ticket = ticket.map(|assignee| NewTicket { priority: None, assignee: assignee.map(user) });
                let locations = location.iter().map(|one| LocationId(selected(*one, last.locations))).collect();
                let channel = ChannelId(selected(*channel, last.channels));
                let (content, key) = (text(*content), key(*name));
                let new = NewMessage { channel, title: None, content, locations, ticket, key };
                AnyCommand::new(messages::tests::create(actor, new))
            }
            Kind::Edit { message: id, text: content, version } => {
                let (id, current) = message(*id);
                let if_cursor = version.cursor(current, tables);
                let edit = MessageEdit { if_cursor, ..messages::tests::text_edit(id, &text(*content)) };
                AnyCommand::new(messages::tests::update(actor, edit))
            }
            Kind::EditTicket { message: id, assignee, closes, version } => {
                let (id, current) = message(*id);
                let if_cursor = version.cursor(current, tables);
                let (status, assignee) = (closes.then_some(TicketStatus::Closed), assignee.map(|one| one.map(user)));
                let ticket = Some(TicketEdit { status, priority: None, assignee });
                let edit = MessageEdit { ticket, if_cursor, ..messages::tests::edit(id) };
                AnyCommand::new(messages::tests::update(actor, edit))
            }
            Kind::Delete(id) => AnyCommand::new(messages::tests::delete(message(*id).0)),
            Kind::PublishEvents { channel, data, count, key: name } => {
                let channel = ChannelId(selected(*channel, last.channels));
                let events = (0..*count).map(|index| {
                    // Every other event has the key, so that a command can use it twice.
                    let key = key(*name).filter(|_| index % 2 == 0);
                    app_events::tests::numbered(channel, *data, key)
                });
                AnyCommand::new(app_events::tests::publish(actor, events.collect()))
            }
            _ => return None,
        })
    }

    fn comment_command(&self, tables: &TestTables) -> Option<AnyCommand> {
        use CommandKind as Kind;
        let (actor, last) = (self.actor(), &tables.last_ids);
        let comment = |selector: u8| CommentId(selected(selector, last.comments));
        Some(match &self.kind {
            Kind::Comment { message, text: content, key: name } => {
                let message = MessageId(selected(*message, last.messages));
                let new = NewComment { message, content: text(*content), key: key(*name) };
                AnyCommand::new(comments::tests::create(actor, new))
            }
            Kind::EditComment { comment: id, text: content, version } => {
                let id = comment(*id);
                let if_cursor = version.cursor(tables.comments.get(&id).map(|comment| comment.cursor), tables);
                let edit = CommentEdit { if_cursor, ..comments::tests::edit(id, &text(*content)) };
                AnyCommand::new(comments::tests::update(actor, edit))
            }
            Kind::DeleteComment(id) => AnyCommand::new(comments::tests::delete(comment(*id))),
            Kind::Notify(recipient) => {
                let recipient = recipient.map(|selector| UserId(selected(selector, last.users)));
                AnyCommand::new(notifications::tests::send(recipient))
            }
            Kind::ReadNotification(id) => {
                // Most users read their own notifications.
                let is_own = |to: Option<UserId>| to.is_none_or(|user| user == actor);
                let own = tables.notifications.values().rev().filter(|notification| is_own(notification.user_id));
                let id = match own.map(|notification| notification.id).nth(usize::from(*id) / 32) {
                    Some(own) => own,
                    None => NotificationId(selected(*id, last.notifications)),
                };
                AnyCommand::new(notifications::tests::mark_read(id))
            }
            _ => return None,
        })
    }

    fn channel_command(&self, tables: &TestTables) -> Option<AnyCommand> {
        use CommandKind as Kind;
        let last = &tables.last_ids;
        let user = |selector: &u8| UserId(selected(*selector, last.users));
        let channel = |selector: &u8| ChannelId(selected(*selector, last.channels));
        Some(match &self.kind {
            Kind::MarkRead { channel: id, position } => {
                let known = tables.log.iter().rev().map(|logged| logged.event.cursor).nth(usize::from(*position) / 4);
                let cursor = known.unwrap_or(Cursor { tag: Tag(99), ..tables.head() });
                AnyCommand::new(channels::tests::mark_read(channel(id), cursor))
            }
            Kind::CreateChannel { name, visibility } => {
                AnyCommand::new(channels::tests::create(named(*name), *visibility))
            }
            Kind::EditChannel { channel: id, name, visibility } => {
                let name = name.map(|name| named(name).to_owned());
                let edit = ChannelEdit { name, visibility: *visibility, ..channels::tests::edit(channel(id)) };
                AnyCommand::new(channels::tests::update(edit))
            }
            Kind::DeleteChannel(id) => AnyCommand::new(channels::tests::delete(channel(id))),
            Kind::AddMember { channel: id, user: member } => {
                AnyCommand::new(channels::tests::add_member(channel(id), user(member)))
            }
            Kind::RemoveMember { channel: id, user: member } => {
                AnyCommand::new(channels::tests::remove_member(channel(id), user(member)))
            }
            Kind::Broadcast { name } => AnyCommand::new(broadcasts::tests::send(named(*name))),
            _ => return None,
        })
    }

    fn admin_command(&self, tables: &TestTables) -> Option<AnyCommand> {
        use CommandKind as Kind;
        let last = &tables.last_ids;
        let user = |selector: &u8| UserId(selected(*selector, last.users));
        let location = |selector: u8| LocationId(selected(selector, last.locations));
        let organization = |selector: u8| OrganizationId(selected(selector, last.organizations));
        Some(match &self.kind {
            Kind::CreateTemplate { location: one } => {
                AnyCommand::new(templates::tests::create(one.iter().map(|one| location(*one)).collect()))
            }
            Kind::DeleteTemplate(id) => {
                AnyCommand::new(templates::tests::delete(TemplateId(selected(*id, last.templates))))
            }
            Kind::CreateOrganization { name } => AnyCommand::new(organizations::tests::create(named(*name))),
            Kind::CreateLocation { organization: id, name } => {
                AnyCommand::new(organizations::tests::create_location(organization(*id), named(*name)))
            }
            Kind::Assign { user: id, organization: of, location: at, role } => {
                let (of, at) = (of.map(|of| of.map(organization)), at.map(|at| at.map(location)));
                let assignment = Assignment { user: user(id), organization: of, location: at, role: *role };
                AnyCommand::new(organizations::tests::assign(assignment))
            }
            Kind::SetDisabled { user: id, disabled } => {
                AnyCommand::new(accounts::tests::set_disabled(user(id), *disabled))
            }
            Kind::EndSessions { user: id } => {
                AnyCommand::of_server(accounts::tests::end_sessions_of(user(id), Some("new hash")))
            }
            Kind::CountAttempt { limit } => {
                AnyCommand::of_server(accounts::tests::count_attempt("key", usize::from(*limit)))
            }
            Kind::AddUser { name } => AnyCommand::of_server(accounts::tests::add_user(named(*name), named(name / 8))),
            Kind::Publish { name } => AnyCommand::new(metrics::tests::publish(named(*name), 1.0)),
            _ => return None,
        })
    }
}

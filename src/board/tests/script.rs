//! Random scripts of commands, and how they run.

use proptest::collection::vec;
use proptest::prelude::*;

use super::any_command::AnyCommand;
use super::fixture::BoardFixture;
use crate::board::{
    Assignment, ChannelEdit, CommentEdit, MessageEdit, NewComment, NewMessage, NewTicket, TicketEdit, accounts,
    broadcasts, channels, comments, messages, metrics, notifications, organizations, templates,
};
use crate::model::{
    ChannelId, CommentId, Cursor, LocationId, MessageId, NotificationId, OrganizationId, Role, Tag, TemplateId,
    TicketStatus, UserId, Visibility,
};
use crate::store::{SqliteMirror, TestTables};

/// The users who give commands. The first one is an admin.
const ACTORS: [&str; 5] = ["ada", "ben", "cleo", "dan", "eve"];
/// Texts, most of which mention users.
const TEXTS: [&str; 6] = ["text", "@ben", "@cleo and @DAN", "@ada @ben @nobody @eve", "@еve", ""];
/// Names, some of which look alike.
const NAMES: [&str; 5] = ["general", "staff", "GENERAL", "genera1", "other"];

/// The largest number of commands of a round, and of rounds.
const ROUND: usize = 9;
const ROUNDS: usize = 6;
/// The largest number of commands of a script.
pub const MAX_COMMANDS: usize = ROUND * ROUNDS;

/// What several users do. The commands of a round are given at the same time: they refer to what existed before it.
#[derive(Clone)]
pub struct CommandScript(pub Vec<Vec<GivenCommand>>);

/// Prints one command per line, so that a failing case can be read.
impl std::fmt::Debug for CommandScript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|round| {
            write!(f, "\n  a round:")?;
            round.iter().try_for_each(|given| write!(f, "\n    {} {:?}", ACTORS[given.actor], given.kind))
        })
    }
}

/// A command and the user who gives it.
#[derive(Debug, Clone)]
pub struct GivenCommand {
    actor: usize,
    kind: CommandKind,
}

/// The version of an object that an edit is for.
#[derive(Debug, Clone, Copy)]
enum ExpectedVersion {
    Any,
    Current,
    Old,
}

/// A command. A number selects an object: 0 is the newest one, and the highest numbers select ids that do not exist.
#[derive(Debug, Clone)]
enum CommandKind {
    Post { channel: u8, text: u8, ticket: Option<Option<u8>>, location: Option<u8>, key: Option<u8> },
    Edit { message: u8, text: u8, version: ExpectedVersion },
    EditTicket { message: u8, assignee: Option<Option<u8>>, closes: bool, version: ExpectedVersion },
    Delete(u8),
    Comment { message: u8, text: u8, key: Option<u8> },
    EditComment { comment: u8, text: u8, version: ExpectedVersion },
    DeleteComment(u8),
    MarkRead { channel: u8, position: u8 },
    Notify(Option<u8>),
    ReadNotification(u8),
    CreateChannel { name: u8, visibility: Visibility },
    EditChannel { channel: u8, name: Option<u8>, visibility: Option<Visibility> },
    DeleteChannel(u8),
    AddMember { channel: u8, user: u8 },
    RemoveMember { channel: u8, user: u8 },
    CreateTemplate { location: Option<u8> },
    DeleteTemplate(u8),
    CreateOrganization { name: u8 },
    CreateLocation { organization: u8, name: u8 },
    Assign { user: u8, organization: Option<Option<u8>>, location: Option<Option<u8>>, role: Option<Role> },
    SetDisabled { user: u8, disabled: bool },
    EndSessions { user: u8 },
    CountAttempt { limit: u8 },
    AddUser { name: u8 },
    Broadcast { name: u8 },
    Publish { name: u8 },
}

/// Random scripts. They are made of numbers: strategies for so many kinds of commands would take most of the time.
pub fn scripts() -> impl Strategy<Value = CommandScript> {
    let rounds = vec(vec(any::<[u8; 7]>(), 1..=ROUND), 1..=ROUNDS);
    rounds.prop_map(|rounds| {
        CommandScript(rounds.into_iter().map(|round| round.into_iter().map(GivenCommand::from).collect()).collect())
    })
}

impl From<[u8; 7]> for GivenCommand {
    fn from([actor, kind, numbers @ ..]: [u8; 7]) -> Self {
        // Every other command is the admin's.
        let actor = usize::from(actor.saturating_sub(127)) % ACTORS.len();
        let kind = if kind < 205 { content(kind, numbers) } else { administration(kind, numbers) };
        Self { actor, kind }
    }
}

fn content(kind: u8, [id, a, b, c, d]: [u8; 5]) -> CommandKind {
    use CommandKind as Kind;
    let key = |number: u8| (number < 96).then_some(number % 3);
    match kind {
        0..=34 => Kind::Post { channel: id, text: a, ticket: change(b), location: optional(c), key: key(d) },
        35..=54 => Kind::Edit { message: id, text: a, version: version(b) },
        55..=79 => Kind::EditTicket { message: id, assignee: change(a), closes: b > 127, version: version(c) },
        80..=91 => Kind::Delete(id),
        92..=121 => Kind::Comment { message: id, text: a, key: key(b) },
        122..=141 => Kind::EditComment { comment: id, text: a, version: version(b) },
        142..=157 => Kind::DeleteComment(id),
        158..=172 => Kind::MarkRead { channel: id, position: a },
        173..=180 => Kind::Notify(optional(id)),
        _ => Kind::ReadNotification(id),
    }
}

fn administration(kind: u8, [id, a, b, c, _]: [u8; 5]) -> CommandKind {
    use CommandKind as Kind;
    match kind {
        205..=210 => Kind::CreateChannel { name: id, visibility: visibility(a) },
        211..=216 => Kind::EditChannel { channel: id, name: optional(a), visibility: optional(b).map(visibility) },
        217 => Kind::DeleteChannel(id),
        218..=222 => Kind::AddMember { channel: id, user: a },
        223..=227 => Kind::RemoveMember { channel: id, user: a },
        228..=230 => Kind::CreateTemplate { location: optional(id) },
        231..=233 => Kind::DeleteTemplate(id),
        234 => Kind::CreateOrganization { name: id },
        235..=236 => Kind::CreateLocation { organization: id, name: a },
        237..=241 => {
            let role = optional(c).map(|number| if number > 200 { Role::Admin } else { Role::Member });
            Kind::Assign { user: id, organization: change(a), location: change(b), role }
        }
        242..=243 => Kind::SetDisabled { user: id, disabled: a > 160 },
        244..=245 => Kind::EndSessions { user: id },
        246..=247 => Kind::CountAttempt { limit: id % 5 },
        248 => Kind::AddUser { name: id },
        249..=252 => Kind::Broadcast { name: id },
        _ => Kind::Publish { name: id },
    }
}

fn optional(number: u8) -> Option<u8> {
    (number > 127).then_some(number)
}

/// A change of an optional value: none, its removal, or a new value.
fn change(number: u8) -> Option<Option<u8>> {
    (number > 80).then(|| optional(number))
}

fn version(number: u8) -> ExpectedVersion {
    match number % 3 {
        0 => ExpectedVersion::Any,
        1 => ExpectedVersion::Current,
        _ => ExpectedVersion::Old,
    }
}

fn visibility(number: u8) -> Visibility {
    if number.is_multiple_of(2) { Visibility::Public } else { Visibility::Private }
}

/// The id that a number selects among those up to `last`, which may belong to deleted objects. Unknown ids are high ones:
/// whether a client can guess the next id depends on the division into batches.
fn selected(selector: u8, last: i64) -> i64 {
    match selector {
        0..=239 => last - i64::from(selector) % last.max(1),
        240..=247 => 1_000_000,
        248..=255 => 247 - i64::from(selector),
    }
}

fn one_of(list: &[&'static str], selector: u8) -> String {
    list[usize::from(selector) % list.len()].to_owned()
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
    /// The id of the user who gives the command.
    pub fn actor(&self) -> UserId {
        UserId(i64::try_from(self.actor).expect("a small number") + 1)
    }

    /// The command, for a client that knows these tables.
    pub fn command(&self, tables: &TestTables) -> AnyCommand {
        self.content(tables).or_else(|| self.administration(tables)).expect("each kind is a command")
    }

    fn content(&self, tables: &TestTables) -> Option<AnyCommand> {
        use CommandKind as Kind;
        let (actor, last) = (self.actor(), &tables.last_ids);
        let text = |selector: u8| format!("{} .", one_of(&TEXTS, selector));
        let user = |selector: u8| UserId(selected(selector, last.users));
        let message = |selector: u8| MessageId(selected(selector, last.messages));
        let comment = |selector: u8| CommentId(selected(selector, last.comments));
        Some(match &self.kind {
            Kind::Post { channel, text: content, ticket, location, key: name } => {
                let ticket = ticket.map(|assignee| NewTicket { priority: None, assignee: assignee.map(user) });
                let locations = location.iter().map(|one| LocationId(selected(*one, last.locations))).collect();
                let channel = ChannelId(selected(*channel, last.channels));
                let new =
                    NewMessage { channel, title: None, content: text(*content), locations, ticket, key: key(*name) };
                AnyCommand::new(messages::tests::create(actor, new))
            }
            Kind::Edit { message: id, text: content, version } => {
                let id = message(*id);
                let if_cursor = version.cursor(tables.messages.get(&id).map(|message| message.cursor), tables);
                let edit = MessageEdit { if_cursor, ..messages::tests::text_edit(id, &text(*content)) };
                AnyCommand::new(messages::tests::update(actor, edit))
            }
            Kind::EditTicket { message: id, assignee, closes, version } => {
                let id = message(*id);
                let if_cursor = version.cursor(tables.messages.get(&id).map(|message| message.cursor), tables);
                let (status, assignee) = (closes.then_some(TicketStatus::Closed), assignee.map(|one| one.map(user)));
                let ticket = Some(TicketEdit { status, priority: None, assignee });
                let edit = MessageEdit { ticket, if_cursor, ..messages::tests::edit(id) };
                AnyCommand::new(messages::tests::update(actor, edit))
            }
            Kind::Delete(id) => AnyCommand::new(messages::tests::delete(message(*id))),
            Kind::Comment { message: id, text: content, key: name } => {
                let new = NewComment { message: message(*id), content: text(*content), key: key(*name) };
                AnyCommand::new(comments::tests::create(actor, new))
            }
            Kind::EditComment { comment: id, text: content, version } => {
                let id = comment(*id);
                let if_cursor = version.cursor(tables.comments.get(&id).map(|comment| comment.cursor), tables);
                let edit = CommentEdit { if_cursor, ..comments::tests::edit(id, &text(*content)) };
                AnyCommand::new(comments::tests::update(actor, edit))
            }
            Kind::DeleteComment(id) => AnyCommand::new(comments::tests::delete(comment(*id))),
            Kind::MarkRead { channel, position } => {
                let known = tables.log.iter().rev().map(|logged| logged.event.cursor).nth(usize::from(*position) / 4);
                let cursor = known.unwrap_or(Cursor { tag: Tag(99), ..tables.head() });
                AnyCommand::new(channels::tests::mark_read(ChannelId(selected(*channel, last.channels)), cursor))
            }
            Kind::Notify(recipient) => AnyCommand::new(notifications::tests::send(recipient.map(user))),
            Kind::ReadNotification(id) => {
                // Most users read their own notifications.
                let own =
                    tables.notifications.values().rev().filter(|one| one.user_id.is_none_or(|user| user == actor));
                let id = match own.map(|one| one.id).nth(usize::from(*id) / 32) {
                    Some(own) => own,
                    None => NotificationId(selected(*id, last.notifications)),
                };
                AnyCommand::new(notifications::tests::mark_read(id))
            }
            _ => return None,
        })
    }

    fn administration(&self, tables: &TestTables) -> Option<AnyCommand> {
        use CommandKind as Kind;
        let last = &tables.last_ids;
        let user = |selector: &u8| UserId(selected(*selector, last.users));
        let channel = |selector: &u8| ChannelId(selected(*selector, last.channels));
        let location = |selector: u8| LocationId(selected(selector, last.locations));
        let organization = |selector: u8| OrganizationId(selected(selector, last.organizations));
        let named = |selector: u8| one_of(&NAMES, selector);
        Some(match &self.kind {
            Kind::CreateChannel { name, visibility } => {
                AnyCommand::new(channels::tests::create(&named(*name), *visibility))
            }
            Kind::EditChannel { channel: id, name, visibility } => {
                let edit = channels::tests::edit(channel(id));
                let edit = ChannelEdit { name: name.map(named), visibility: *visibility, ..edit };
                AnyCommand::new(channels::tests::update(edit))
            }
            Kind::DeleteChannel(id) => AnyCommand::new(channels::tests::delete(channel(id))),
            Kind::AddMember { channel: id, user: member } => {
                AnyCommand::new(channels::tests::add_member(channel(id), user(member)))
            }
            Kind::RemoveMember { channel: id, user: member } => {
                AnyCommand::new(channels::tests::remove_member(channel(id), user(member)))
            }
            Kind::CreateTemplate { location: one } => {
                AnyCommand::new(templates::tests::create(one.iter().map(|one| location(*one)).collect()))
            }
            Kind::DeleteTemplate(id) => {
                AnyCommand::new(templates::tests::delete(TemplateId(selected(*id, last.templates))))
            }
            Kind::CreateOrganization { name } => AnyCommand::new(organizations::tests::create(&named(*name))),
            Kind::CreateLocation { organization: id, name } => {
                AnyCommand::new(organizations::tests::create_location(organization(*id), &named(*name)))
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
            Kind::AddUser { name } => AnyCommand::of_server(accounts::tests::add_user(&named(*name), &named(name / 8))),
            Kind::Broadcast { name } => AnyCommand::new(broadcasts::tests::send(&named(*name))),
            Kind::Publish { name } => AnyCommand::new(metrics::tests::publish(&named(*name), 1.0)),
            _ => return None,
        })
    }
}

/// The board on which scripts run. If there is a mirror, everything is written there, too.
pub fn populated_board(mirror: Option<SqliteMirror>) -> BoardFixture {
    let mut board = BoardFixture::new();
    let [_, ben, cleo, dan, eve] = ACTORS.map(|name| if name == "ada" { board.admin(name) } else { board.user(name) });
    board.organization("One", &[ben]);
    let (_, location) = board.organization("Two", &[cleo]);
    board.tables.user_mut(eve).location_id = Some(location);
    mirror.into_iter().for_each(|mirror| board.mirror_to(mirror));
    let (public, private) = (board.public_channel(ben), board.private_channel(cleo, &[dan]));
    for (author, channel, assignee) in [(ben, public, Some(cleo)), (cleo, private, Some(dan)), (dan, public, None)] {
        let ticket = board.ticket(author, channel, assignee).id;
        board.message(author, channel);
        board.comment(author, ticket);
    }
    board.run(ben, templates::tests::create(vec![location])).expect("a template");
    board
}

/// What a script has left.
pub struct ScriptResult {
    pub answers: Vec<String>,
    pub board: BoardFixture,
}

/// Runs a script. `is_skipped` tells by the index of a command whether it is left out, and `begins_batch` whether it
/// begins a batch. A round always begins one.
pub fn run_script(
    script: &CommandScript,
    mut board: BoardFixture,
    is_skipped: impl Fn(usize) -> bool,
    begins_batch: impl Fn(usize) -> bool,
) -> ScriptResult {
    let (mut answers, mut index) = (Vec::new(), 0);
    for round in &script.0 {
        let start = board.tables.clone();
        let viewers: Vec<_> = round.iter().map(|given| board.viewer(given.actor())).collect();
        let mut queued = Vec::new();
        for (given, viewer) in round.iter().zip(viewers) {
            if begins_batch(index) {
                board.run_queue();
            }
            if !is_skipped(index) {
                queued.push(board.queue_for(viewer, given.command(&start)));
            }
            index += 1;
        }
        board.run_queue();
        answers.extend(queued.into_iter().map(|answer| format!("{:?}", answer.get())));
    }
    ScriptResult { answers, board }
}

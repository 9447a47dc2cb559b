//! Random scripts of commands.

use std::ops::RangeInclusive;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::model::{Role, UserId, Visibility};

/// The users who give commands. The first one is an admin.
pub const ACTORS: [&str; 5] = ["ada", "ben", "cleo", "dan", "eve"];
/// The largest numbers of commands of a round, and of rounds. A script has fewer commands than a `u64` has bits.
const ROUND: usize = 9;
const ROUNDS: usize = 6;

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
    pub kind: CommandKind,
}

/// The version of an object that an edit is for.
#[derive(Debug, Clone, Copy)]
pub enum ExpectedVersion {
    Any,
    Current,
    Old,
}

/// A command. A number selects an object: 0 is the newest one, and the highest numbers select ids that do not exist.
#[derive(Debug, Clone)]
pub enum CommandKind {
    Post { channel: u8, text: u8, ticket: Option<Option<u8>>, location: Option<u8>, key: Option<u8> },
    Edit { message: u8, text: u8, version: ExpectedVersion },
    EditTicket { message: u8, assignee: Option<Option<u8>>, closes: bool, version: ExpectedVersion },
    Delete(u8),
    PublishEvents { channel: u8, data: u8, count: u8, key: Option<u8> },
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

/// Random scripts.
pub fn scripts() -> impl Strategy<Value = CommandScript> {
    vec(rounds(1..=ROUND), 1..=ROUNDS).prop_map(CommandScript)
}

/// A random round with a number of commands in this range. It is made of numbers: strategies for so many kinds of
/// commands would take most of the time.
pub fn rounds(lengths: RangeInclusive<usize>) -> impl Strategy<Value = Vec<GivenCommand>> {
    vec(any::<[u8; 7]>().prop_map(GivenCommand::from), lengths)
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
        0..=9 => Kind::PublishEvents { channel: id, data: a % 2, count: b % 3 + 1, key: key(c) },
        10..=34 => Kind::Post { channel: id, text: a, ticket: change(b), location: optional(c), key: key(d) },
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
    if number < 128 { Visibility::Public } else { Visibility::Private }
}

impl GivenCommand {
    /// The id of the user who gives the command.
    pub fn actor(&self) -> UserId {
        UserId(i64::try_from(self.actor).expect("a small number") + 1)
    }
}

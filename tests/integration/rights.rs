//! A property: all places that decide visibility agree. Random scripts grant and revoke rights, assign users, make
//! channels private and delete objects. After each step, for every reader, these must agree: a query, a replay of the
//! log from its beginning, the live events, the rule in memory (`board::access`), the rule in SQL (`store::visible`),
//! and an independent model of the rule in `model.rs`.
//!
//! 100 random scripts; `scripts.rs` says how to run more, and where the seeds are kept.

mod audit;
mod fixture;
mod model;
mod reader;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::scripts::check_property;
use fixture::Fixture;
use model::USERS;

/// One case: the organization and location of each user at the start, and the steps.
#[derive(Clone)]
struct Script {
    users: Vec<Assignment>,
    steps: Vec<Step>,
}

/// The index of an organization and of a location, if any.
type Assignment = (Option<usize>, Option<usize>);

/// Prints one step per line, so that a failing case can be read.
impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.users)?;
        self.steps.iter().try_for_each(|step| write!(f, "\n  {step:?}"))
    }
}

/// One step. Users and readers are given by index, objects by index from the newest, and sets of locations by the bits
/// of a number.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    MakeChannel {
        user: usize,
        private: bool,
    },
    SetVisibility {
        channel: u8,
        private: bool,
    },
    DeleteChannel(u8),
    Join {
        channel: u8,
        user: usize,
    },
    Leave {
        channel: u8,
        user: usize,
    },
    Post {
        user: usize,
        channel: u8,
        locations: u8,
    },
    Publish {
        user: usize,
        channel: u8,
        locations: u8,
    },
    Edit {
        user: usize,
        message: u8,
    },
    DeleteMessage(u8),
    Comment {
        user: usize,
        message: u8,
    },
    EditComment {
        user: usize,
        comment: u8,
    },
    DeleteComment(u8),
    AddTemplate {
        user: usize,
        locations: u8,
    },
    DeleteTemplate(u8),
    Assign {
        user: usize,
        assignment: Assignment,
        admin: bool,
    },
    MakeLocation(usize),
    /// A reader also subscribes to one channel.
    Follow {
        reader: usize,
        channel: u8,
    },
    /// A reader's connection is dropped.
    Disconnect(usize),
    /// A reader reconnects with its last cursor.
    Reconnect(usize),
    Restart,
    Audit,
}

fn assignment() -> impl Strategy<Value = Assignment> {
    (proptest::option::weighted(0.6, 0..2_usize), proptest::option::weighted(0.4, 0..3_usize))
}

/// The locations that an object is shared with. For half of the objects: none, so they are not restricted.
fn locations() -> impl Strategy<Value = u8> {
    prop_oneof![Just(0), 1..16_u8]
}

fn step() -> impl Strategy<Value = Step> {
    let user = || 0..USERS;
    let member = || 1..USERS;
    // The last reader is anonymous.
    let reader = || 0..=USERS;
    let newest = any::<u8>;
    prop_oneof![
        4 => (user(), any::<bool>()).prop_map(|(user, private)| Step::MakeChannel { user, private }),
        4 => (newest(), any::<bool>()).prop_map(|(channel, private)| Step::SetVisibility { channel, private }),
        1 => newest().prop_map(Step::DeleteChannel),
        7 => (newest(), user()).prop_map(|(channel, user)| Step::Join { channel, user }),
        5 => (newest(), user()).prop_map(|(channel, user)| Step::Leave { channel, user }),
        14 => (user(), newest(), locations()).prop_map(|(user, channel, locations)| Step::Post { user, channel, locations }),
        8 => (user(), newest(), locations())
            .prop_map(|(user, channel, locations)| Step::Publish { user, channel, locations }),
        4 => (user(), newest()).prop_map(|(user, message)| Step::Edit { user, message }),
        3 => newest().prop_map(Step::DeleteMessage),
        7 => (user(), newest()).prop_map(|(user, message)| Step::Comment { user, message }),
        3 => (user(), newest()).prop_map(|(user, comment)| Step::EditComment { user, comment }),
        2 => newest().prop_map(Step::DeleteComment),
        5 => (user(), locations()).prop_map(|(user, locations)| Step::AddTemplate { user, locations }),
        2 => newest().prop_map(Step::DeleteTemplate),
        7 => (member(), assignment(), proptest::bool::weighted(0.15))
            .prop_map(|(user, assignment, admin)| Step::Assign { user, assignment, admin }),
        2 => (0..2_usize).prop_map(Step::MakeLocation),
        6 => (reader(), newest()).prop_map(|(reader, channel)| Step::Follow { reader, channel }),
        5 => reader().prop_map(Step::Disconnect),
        5 => reader().prop_map(Step::Reconnect),
        1 => Just(Step::Restart),
        2 => Just(Step::Audit),
    ]
}

fn scripts() -> impl Strategy<Value = Script> {
    (vec(assignment(), USERS - 1), vec(step(), 10..40)).prop_map(|(users, steps)| Script { users, steps })
}

#[test]
#[ignore = "takes about a minute or more: `make test-long` runs it"]
fn queries_replays_live_events_and_both_rules_agree_on_visibility() {
    check_property(100, concat!(env!("CARGO_TARGET_TMPDIR"), "/rights.seeds"), scripts, run_script);
}

/// Runs one script; an error describes the first violation.
async fn run_script(script: Script) -> Result<(), String> {
    let mut fixture = Fixture::new(&script.users).await?;
    for step in script.steps {
        fixture.run_step(step).await?;
    }
    for reader in 0..=USERS {
        fixture.run_step(Step::Reconnect(reader)).await?;
    }
    // All readers see this channel. So its event also proves that no other event came before it.
    fixture.run_step(Step::MakeChannel { user: 0, private: false }).await?;
    fixture.run_step(Step::Audit).await?;
    fixture.close().await;
    Ok(())
}

//! A property: all places that decide visibility agree. Random scripts grant and revoke rights, assign users, make
//! channels private and delete objects. After each step, for every reader, these must agree: a query, a replay of the
//! log from its beginning, the live events, the rule in memory (`board::access`), the rule in SQL (`store::visible`),
//! and an independent model of the rule in `model.rs`.
//!
//! 100 random scripts; `scripts.rs` says how to run more, and where the seeds are kept.

mod audit;
mod model;
mod stage;
mod viewer;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::scripts::prove;
use model::USERS;
use stage::Stage;

/// One case: the organization and location of each user at the start, and the steps.
#[derive(Clone)]
struct Script {
    users: Vec<Belonging>,
    steps: Vec<Step>,
}

/// The index of an organization and of a location, if any.
type Belonging = (Option<usize>, Option<usize>);

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
    Publish {
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
        belonging: Belonging,
        admin: bool,
    },
    MakeLocation(usize),
    /// A reader also subscribes to one channel.
    Follow {
        reader: usize,
        channel: u8,
    },
    /// A reader's connection is dropped.
    Cut(usize),
    /// A reader reconnects with its last cursor.
    Back(usize),
    Restart,
    Audit,
}

fn belonging() -> impl Strategy<Value = Belonging> {
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
        4 => (newest(), any::<bool>()).prop_map(|(channel, private)| Step::Publish { channel, private }),
        1 => newest().prop_map(Step::DeleteChannel),
        7 => (newest(), user()).prop_map(|(channel, user)| Step::Join { channel, user }),
        5 => (newest(), user()).prop_map(|(channel, user)| Step::Leave { channel, user }),
        14 => (user(), newest(), locations()).prop_map(|(user, channel, locations)| Step::Post { user, channel, locations }),
        4 => (user(), newest()).prop_map(|(user, message)| Step::Edit { user, message }),
        3 => newest().prop_map(Step::DeleteMessage),
        7 => (user(), newest()).prop_map(|(user, message)| Step::Comment { user, message }),
        3 => (user(), newest()).prop_map(|(user, comment)| Step::EditComment { user, comment }),
        2 => newest().prop_map(Step::DeleteComment),
        5 => (user(), locations()).prop_map(|(user, locations)| Step::AddTemplate { user, locations }),
        2 => newest().prop_map(Step::DeleteTemplate),
        7 => (member(), belonging(), proptest::bool::weighted(0.15))
            .prop_map(|(user, belonging, admin)| Step::Assign { user, belonging, admin }),
        2 => (0..2_usize).prop_map(Step::MakeLocation),
        6 => (reader(), newest()).prop_map(|(reader, channel)| Step::Follow { reader, channel }),
        5 => reader().prop_map(Step::Cut),
        5 => reader().prop_map(Step::Back),
        1 => Just(Step::Restart),
        2 => Just(Step::Audit),
    ]
}

fn scripts() -> impl Strategy<Value = Script> {
    (vec(belonging(), USERS - 1), vec(step(), 10..40)).prop_map(|(users, steps)| Script { users, steps })
}

#[test]
fn a_query_a_replay_a_live_stream_and_the_rule_agree_on_who_may_see_what() {
    prove(100, concat!(env!("CARGO_TARGET_TMPDIR"), "/rights.seeds"), scripts, play);
}

/// Runs one script; an error describes the first violation.
async fn play(script: Script) -> Result<(), String> {
    let mut stage = Stage::set(&script.users).await?;
    for step in script.steps {
        stage.play(step).await?;
    }
    for reader in 0..=USERS {
        stage.play(Step::Back(reader)).await?;
    }
    // All readers see this channel. So its event also proves that no other event came before it.
    stage.play(Step::MakeChannel { user: 0, private: false }).await?;
    stage.play(Step::Audit).await?;
    stage.close().await;
    Ok(())
}

//! Random input for everything that anonymous clients can reach: documents, HTTP requests, frames of all three socket
//! protocols, cursors and tokens. Each test runs some hundred cases; `PROPTEST_CASES` sets another number (`make
//! fuzz`). Seeds of failed cases are kept in `seeds.txt` beside this file and run first.

pub mod choices;
mod documents;
mod requests;
mod socket_frames;
mod target;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestError, TestRunner};
use tidings::auth::{TokenSubject, Tokens};
use tidings::model::{Cursor, Role, Seq, SessionId, Tag, Timestamp, UserId};

use choices::{Choices, choices, mutated};

use crate::support::Report;

/// The file with the seeds of failed cases.
const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/fuzz/seeds.txt");

/// Counts the outcomes of a property. A property that only ever sees one outcome proves little.
#[derive(Default)]
struct Tally(RefCell<BTreeMap<String, usize>>);

impl Tally {
    fn count(&self, what: impl Into<String>) {
        *self.0.borrow_mut().entry(what.into()).or_default() += 1;
    }

    /// Prints the counts, and asserts that each of these outcomes occurred.
    fn show(&self, name: &str, must: &[&str]) {
        let tally = self.0.borrow();
        Report::new(format_args!("random {name}, and the number of each outcome: {tally:?}"));
        for what in must {
            assert!(tally.contains_key(*what), "{name}: the outcome {what} never occurred");
        }
    }
}

/// Checks a property on `cases` random cases, or on as many as `PROPTEST_CASES` says.
fn check_property<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(S::Value) -> Result<(), String>) {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    let failure_persistence = Some(Box::new(FileFailurePersistence::Direct(SEEDS)) as _);
    let config = ProptestConfig { cases, failure_persistence, max_shrink_iters: 400, ..default };
    let tried = TestRunner::new(config).run(strategy, |case| property(case).map_err(TestCaseError::fail));
    match tried {
        Ok(()) => {}
        // The list of decisions is not readable; the reason describes the case.
        Err(TestError::Fail(reason, _) | TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn a_cursor_has_one_text_form() {
    let strategy = (any::<i64>(), any::<i64>(), choices(20));
    check_property(2_000, &strategy, |(seq, tag, choices)| {
        let cursor = Cursor { seq: Seq(seq & i64::MAX), tag: Tag(tag) };
        let spelled = cursor.to_string();
        if spelled.parse() != Ok(cursor) {
            return Err(format!("{spelled} is not parsed as {cursor:?}"));
        }
        let text = String::from_utf8_lossy(&mutated(spelled.as_bytes(), &mut Choices::new(&choices))).into_owned();
        match text.parse::<Cursor>() {
            Ok(other) if other.to_string() != text => Err(format!("{text} is accepted as {other}")),
            _ => Ok(()),
        }
    });
}

#[test]
fn a_modified_token_is_rejected() {
    let tokens = Tokens::new(b"a secret of thirty-two characters", Duration::from_secs(60), Duration::from_secs(60));
    let now = Timestamp::from_seconds(1_800_000_000);
    let subject = TokenSubject { user: UserId(7), role: Role::Admin, version: 3, session: Some(SessionId(5)) };
    let real = tokens.issue(subject, now).expect("a token").token;
    check_property(2_000, &choices(40), |choices| {
        let mutated_value =
            String::from_utf8_lossy(&mutated(real.as_bytes(), &mut Choices::new(&choices))).into_owned();
        match tokens.verify(&mutated_value, now) {
            Ok(_) if mutated_value != real => Err(format!("the modified token {mutated_value} is accepted")),
            Err(_) if mutated_value == real => Err("the unmodified token is rejected".into()),
            _ => Ok(()),
        }
    });
}

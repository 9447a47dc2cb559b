//! Properties of the decisions as pure functions, over random scripts of commands of several users. The rules of each
//! type of object are tested beside its commands.

mod any_command;
mod event_fields;
mod fixture;
mod script;
mod script_commands;
mod script_run;

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{TestRunner, contextualize_config};

pub use fixture::{BoardFixture, POLICY, unlimited};

use crate::board::commands::ViewerCommand as _;
use crate::model::EventKind;
use crate::store::{Needs, SqliteMirror, TestTables};
use script::{CommandScript, GivenCommand, rounds, scripts};
use script_run::{populated_board, run_script};

/// The number of cases is 64, or what `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    contextualize_config(ProptestConfig { cases: 64, source_file: Some(file!()), ..ProptestConfig::default() })
}

/// Calls `check` before each command of a script, and then runs the command in a batch of its own.
fn before_each_command(
    script: &CommandScript,
    mut check: impl FnMut(&BoardFixture, &GivenCommand, any_command::AnyCommand) -> Result<(), TestCaseError>,
) -> Result<BoardFixture, TestCaseError> {
    let mut board = populated_board(None);
    for round in &script.0 {
        let start = board.tables.clone();
        for given in round {
            check(&board, given, given.command(&start))?;
            drop(board.queue(given.actor(), given.command(&start)));
            board.run_queue();
        }
    }
    Ok(board)
}

proptest! {
    #![proptest_config(config())]

    /// A row that a command uses without naming it is there by chance: if another command of the batch has named it.
    #[test]
    fn a_command_decides_the_same_if_its_batch_has_read_everything_else_too(script in scripts()) {
        before_each_command(&script, |board, given, command| {
            let actor = board.state(given.actor());
            let (mut named, mut all) = (Needs::default(), board.tables.everything(&actor.rights));
            command.needs(&actor, &mut named);
            command.needs(&actor, &mut all);
            let alone = format!("{:?}", command.decide(&actor, &board.tables.state(&named)));
            let with_all = format!("{:?}", command.decide(&actor, &board.tables.state(&all)));
            prop_assert!(!alone.contains("Internal("), "{}", alone);
            prop_assert_eq!(alone, with_all, "{:?}", given);
            Ok(())
        })?;
    }

    #[test]
    fn a_script_without_its_refused_commands_leaves_the_same(script in scripts()) {
        let full = run_script(&script, populated_board(None), |_| false, |_| false);
        let is_refused = |index: usize| full.answers[index].starts_with("Err(");
        let accepted = run_script(&script, populated_board(None), is_refused, |_| false);
        prop_assert_eq!(&accepted.board.tables, &full.board.tables);
        prop_assert!(accepted.answers.iter().all(|answer| answer.starts_with("Ok(")));
    }

    /// All batches of the tests have the same time and tag, so also all numbers are the same.
    #[test]
    fn the_division_into_batches_changes_no_answer_and_no_event_and_no_row(
        script in scripts(),
        division in any::<u64>(),
    ) {
        let singles = run_script(&script, populated_board(None), |_| false, |_| true);
        for divided in [
            run_script(&script, populated_board(None), |_| false, |_| false),
            run_script(&script, populated_board(None), |_| false, |index| division >> index & 1 == 1),
        ] {
            prop_assert_eq!(&divided.answers, &singles.answers);
            prop_assert_eq!(&divided.board.tables.log, &singles.board.tables.log);
            prop_assert_eq!(&divided.board.tables, &singles.board.tables);
        }
    }

    #[test]
    fn the_state_of_a_batch_is_what_a_fresh_read_shows(script in scripts()) {
        let result = run_script(&script, populated_board(None), |_| false, |_| false);
        prop_assert_eq!(&result.board.stale, &Vec::<String>::new());
    }

    #[test]
    fn an_event_has_the_channel_and_the_audience_of_its_object(script in scripts()) {
        let mut before = populated_board(None).tables;
        let mut check = |after: &TestTables| {
            let events = &after.log[before.log.len()..];
            let checked = events.iter().try_for_each(|logged| event_fields::check(logged, &before, after));
            before = after.clone();
            checked.map_err(TestCaseError::fail)
        };
        let board = before_each_command(&script, |board, _, _| check(&board.tables))?;
        check(&board.tables)?;
    }

    #[test]
    fn events_have_no_gaps_and_ids_grow_in_the_order_of_the_log(script in scripts()) {
        let result = run_script(&script, populated_board(None), |_| false, |_| false);
        let log: Vec<_> = result.board.tables.log.iter().map(|logged| &logged.event).collect();
        for (event, seq) in log.iter().zip(1..) {
            prop_assert_eq!(event.cursor.seq.0, seq);
        }
        for kind in [EventKind::MessageAdded, EventKind::CommentAdded, EventKind::NotificationAdded, EventKind::ChannelAdded] {
            let ids: Vec<_> = log.iter().filter(|event| event.kind == kind).map(|event| event.object).collect();
            let expected: Vec<_> = (1..=i64::try_from(ids.len()).expect("a small number")).collect();
            prop_assert_eq!(&ids, &expected);
        }
        event_fields::check_cursors(&result.board.tables).map_err(TestCaseError::fail)?;
    }

    /// A number that is not settled is negative.
    #[test]
    fn no_answer_and_no_row_contains_a_provisional_number(script in scripts()) {
        let result = run_script(&script, populated_board(None), |_| false, |_| false);
        for answer in &result.answers {
            prop_assert!(!answer.contains("(-"), "{}", answer);
        }
        let tables = format!("{:?}", result.board.tables);
        let at = tables.find("(-").unwrap_or(tables.len());
        prop_assert_eq!(&tables[at..], "", "{}", &tables[at.saturating_sub(300)..]);
    }

    #[test]
    fn the_rights_of_a_user_in_a_batch_are_those_of_the_session(script in scripts()) {
        let board = before_each_command(&script, |_, _, _| Ok(()))?;
        for user in board.tables.users.values() {
            let session = board.tables.rights(user);
            for channel in board.tables.channels.keys() {
                let mut needs = Needs::default();
                needs.channel(*channel);
                needs.user(user.id);
                let found = board.tables.state(&needs).rights_in(user.id, *channel);
                let mut expected = session.clone();
                expected.channels.retain(|member_of| member_of == channel);
                prop_assert_eq!(found, (!user.disabled).then_some(expected));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Another instance can write between the decisions of a batch and its commit, which compares only some rows.
    #[test]
    fn a_batch_decides_the_same_as_long_as_its_commit_finds_no_change(history in rounds(1..=6), last in rounds(2..=24)) {
        let history = CommandScript(vec![history]);
        let mut board = run_script(&history, populated_board(None), |_| false, |_| false).board;
        let start = board.tables.clone();
        let content: Vec<_> = last.iter().filter(|given| given.changes_content(&start)).collect();
        let (batch, others) = content.split_at(content.len() / 2);
        let commands = |given: &[&GivenCommand]| given.iter().map(|one| (one.actor(), one.command(&start))).collect();
        let is_accepted = board.decide(commands(batch)).1;
        let accepted = batch.iter().zip(is_accepted).filter_map(|(given, is_accepted)| is_accepted.then_some(*given));
        let accepted: Vec<_> = accepted.collect();
        let decided = board.decide(commands(&accepted)).0;
        for given in others {
            drop(board.run(given.actor(), given.command(&start)));
        }
        if decided.can_be_written(&board.tables) {
            prop_assert_eq!(board.decide(commands(&accepted)).0.changes(), decided.changes());
        }
    }
}

/// The tables in memory follow the same rules as the database, so the properties hold there, too.
#[test]
fn sqlite_reads_and_writes_what_the_tables_in_memory_do() {
    let kept = RefCell::new(None);
    let compare = |script| {
        let mirror = kept.take().unwrap_or_else(SqliteMirror::new);
        let mut board = run_script(&script, populated_board(Some(mirror)), |_| false, |_| false).board;
        kept.replace(board.take_mirror());
        prop_assert!(board.stale.is_empty(), "{}", board.stale.join("\n"));
        Ok(())
    };
    TestRunner::new(config()).run(&scripts(), compare).unwrap_or_else(|failure| panic!("{failure}"));
}

//! Runs scripts of commands.

use super::fixture::BoardFixture;
use super::script::{ACTORS, CommandScript};
use crate::board::templates;
use crate::store::SqliteMirror;

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

//! Compares the state that a batch has left in memory with the tables.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::hash::Hash;

use super::TestTables;
use crate::model::Timestamp;
use crate::store::batch::effects::Effects;
use crate::store::batch::needs::Needs;
use crate::store::batch::numbers::{Numbers, Settle};
use crate::store::batch::state::{BatchRows, BatchState};

/// How the state after a batch differs from the tables, which contain the batch, and from what the same needs read
/// there. The state of a batch that ends with a single write does not show that write, so it is not compared.
pub fn differences(
    state: BatchState,
    effects: &Effects,
    numbers: &Numbers,
    tables: &TestTables,
    needs: &Needs,
) -> Vec<String> {
    if !effects.singles.is_empty() {
        return Vec::new();
    }
    let (state, fresh) = (settled(state.into_rows(), numbers), tables.read(needs));
    let mut all = Vec::new();
    all.extend(missing(&state.messages, &fresh.messages));
    all.extend(missing(&state.comments, &fresh.comments));
    all.extend(missing(&state.keys, &fresh.keys));
    all.extend(missing(&state.event_keys, &fresh.event_keys));
    all.extend(missing(&state.channels, &fresh.channels));
    all.extend(missing(&state.users, &fresh.users));
    all.extend(missing(&state.locations, &fresh.locations));
    all.extend(missing(&state.notifications, &fresh.notifications));
    all.extend(missing(&state.positions, &fresh.positions));
    all.extend(fresh.members.difference(&state.members).map(|row| format!("{row:?} is missing")));
    all.extend(outdated(&state.messages, &tables.messages));
    all.extend(outdated(&state.comments, &tables.comments));
    all.extend(outdated(&state.keys, &tables.keys));
    all.extend(unequal(&state.read_announcements, &fresh.read_announcements));
    all.extend(unequal(&state.metrics, &fresh.metrics));
    all.extend(unequal(&state.metric_count, &fresh.metric_count));
    all
}

/// The rows with final numbers.
fn settled(mut rows: BatchRows, numbers: &Numbers) -> BatchRows {
    fn settle<T: Settle>(mut value: T, numbers: &Numbers) -> T {
        value.settle(numbers);
        value
    }
    let messages = rows.messages.into_values().map(|message| settle(message, numbers));
    rows.messages = messages.map(|message| (message.id, message)).collect();
    let comments = rows.comments.into_values().map(|comment| settle(comment, numbers));
    rows.comments = comments.map(|comment| (comment.id, comment)).collect();
    for event in rows.event_keys.values_mut().filter(|event| event.cursor.seq.0 < 0) {
        event.cursor.settle(numbers);
        event.at = Timestamp(numbers.at);
    }
    rows.keys.values_mut().for_each(|(object, _)| object.settle(numbers));
    rows
}

/// Fresh rows that the state lacks, or has in another version.
fn missing<I: Eq + Hash + Debug, R: PartialEq + Debug>(state: &HashMap<I, R>, fresh: &HashMap<I, R>) -> Vec<String> {
    let wrong = fresh.iter().filter(|(id, row)| state.get(id) != Some(row));
    wrong.map(|(id, row)| format!("{id:?} is {:?} instead of {row:?}", state.get(id))).collect()
}

/// Rows of the state that the tables lack, or have in another version.
fn outdated<I: Ord + Debug, R: PartialEq + Debug>(state: &HashMap<I, R>, table: &BTreeMap<I, R>) -> Vec<String> {
    let wrong = state.iter().filter(|(id, row)| table.get(id) != Some(row));
    wrong.map(|(id, row)| format!("{id:?} is {row:?} instead of {:?}", table.get(id))).collect()
}

fn unequal<T: PartialEq + Debug>(state: &T, fresh: &T) -> Option<String> {
    (state != fresh).then(|| format!("{state:?} instead of {fresh:?}"))
}

//! Checks the received events against the log, and the log against the acknowledged writes.

use std::collections::HashMap;

use serde_json::Value;
use tidings::model::{Event, EventKind};

use super::fixture::{Fixture, Key, Kind, LogPosition as _, kind};
use super::subscriber::{ReceivedEvent, Subscriber};

/// The log holds exactly the acknowledged changes, each once.
pub fn acknowledged(fixture: &Fixture) -> Result<(), String> {
    let known = fixture.known();
    let changes: usize = known.revisions.values().map(|revisions| revisions.len()).sum();
    if changes + known.deletions.len() != fixture.log.len() {
        return Err(format!(
            "{changes} changes and {} deletions, but {} events",
            known.deletions.len(),
            fixture.log.len()
        ));
    }
    for (at, event) in fixture.log.iter().enumerate() {
        let key = key(event);
        let is_known = if event.kind.shows_object() {
            known.revisions.get(&key).is_some_and(|revisions| revisions.contains_key(&event.seq()))
        } else {
            known.deletions.contains(&key)
        };
        let is_next = event.seq() == fixture.start.seq.0 + 1 + i64::try_from(at).expect("a short log");
        if !is_known || !is_next {
            return Err(format!("{event:?} was not acknowledged there"));
        }
    }
    Ok(())
}

/// What a subscriber received over all its connections is the log of what it follows, from the cursor of its query to
/// the end:
///
/// - Each received event is in the log as the same change of the same object. Events come in the order of the log, none
///   twice.
/// - Every deletion was received, and every event whose object still exists.
/// - An event may be missing only if its object was deleted later in the log, before the subscriber had time to receive
///   it. At the end of each step in which it reads, a subscriber has received every event whose object existed then. So a
///   missing event happened while it was disconnected or not reading, or its object was deleted in the same step.
/// - An event shows its object as it was at the event or later, never older than an edit that the subscriber has
///   passed. A replay shows the current object: items of a connection are at least as new as the connection, and never of
///   an object that had been deleted by then.
pub fn received(subscriber: &Subscriber, fixture: &Fixture) -> Result<(), String> {
    let Some(since) = subscriber.since else { return Ok(()) };
    let end = subscriber.seen.last().filter(|_| subscriber.ended).map_or(i64::MAX, |seen| seen.cursor.seq.0);
    let mut seen = subscriber.seen.iter().peekable();
    let wrong = |what: &str, event: &dyn std::fmt::Debug| Err(format!("{:?}: {what}: {event:?}", subscriber.document));
    for event in fixture.log.iter().filter(|event| event.seq() > since.seq.0 && event.seq() <= end) {
        match seen.next_if(|seen| seen.cursor.seq <= event.cursor.seq) {
            Some(seen) if seen.cursor != event.cursor => {
                return wrong("it received an event that is not in the log", seen);
            }
            Some(seen) if (&*seen.name, (seen.object, seen.id.clone())) != (event.kind.name(), key(event)) => {
                return wrong("it received an event that differs from the log", &(seen, event));
            }
            Some(seen) if !subscriber.follows(event) => {
                return wrong("it received an event that it does not follow", seen);
            }
            Some(seen) => check_shown_object(seen, event, fixture).or_else(|what| wrong(&what, &(seen, event)))?,
            None if subscriber.follows(event) => {
                let Some(deletion) = fixture.deletion(event) else {
                    return wrong("it did not receive this event", event);
                };
                if subscriber.up_to_date.iter().any(|head| (event.seq()..deletion).contains(head)) {
                    return wrong("it did not receive this event, although it was connected and reading", event);
                }
            }
            None => {}
        }
    }
    seen.next().map_or(Ok(()), |seen| wrong("it received an event that is not in the log", seen))
}

/// Checks that the object in an event is as new as it must be.
fn check_shown_object(seen: &ReceivedEvent, event: &Event, fixture: &Fixture) -> Result<(), String> {
    let known = fixture.known();
    let Some(value) = &seen.value else { return Ok(()) };
    let since = newest(&known.revisions, &key(event), seen.known).max(event.seq());
    let mut versions = known.revisions[&key(event)].range(since..);
    if !versions.any(|(_, version)| version == value) {
        return Err("the event shows an outdated object".into());
    }
    if fixture.deletion(event).is_some_and(|deletion| deletion <= seen.known) {
        return Err("the event shows an object that was already deleted".into());
    }
    if let (Some(comment_parent), Some(message)) = (&seen.comment_parent, event.message) {
        let message = (Kind::Message, message.to_string());
        let since = newest(&known.revisions, &message, seen.known.max(event.seq()));
        if !known.revisions[&message].range(since..).any(|(_, version)| version["content"] == *comment_parent) {
            return Err(format!("the comment's message is shown outdated: {comment_parent}"));
        }
    }
    Ok(())
}

/// The `seq` of the last change of an object up to `up_to`; 0 if there is none.
fn newest(revisions: &HashMap<Key, std::collections::BTreeMap<i64, Value>>, key: &Key, up_to: i64) -> i64 {
    revisions.get(key).and_then(|revisions| revisions.range(..=up_to).next_back()).map_or(0, |(seq, _)| *seq)
}

fn key(event: &Event) -> Key {
    debug_assert!(event.kind != EventKind::Genesis);
    let id = if event.kind == EventKind::AppEvent { event.seq() } else { event.object };
    (kind(event), id.to_string())
}

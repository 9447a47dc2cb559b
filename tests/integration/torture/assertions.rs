//! Checks the result of a run: the log and the database against the acknowledged mutations, and the items of each
//! subscriber against the log.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::subscriber::{Profile, Received};
use super::{LAST_TITLE, RunReport};
use crate::support::Program;

const PAGE: &str = "query ($after: String) { messages(first: 100, after: $after) {
    nodes { id title content comments(first: 3) { nodes { id content } } } pageInfo { hasNextPage endCursor } } }";

/// An event of the log.
struct LogEntry {
    seq: u64,
    kind: String,
    object: String,
    channel: Option<String>,
    message: Option<String>,
    at: DateTime<Utc>,
}

/// The log, as `tidings tail` prints it.
struct Log {
    /// The events after the cursor from which the subscribers began.
    lines: Vec<LogEntry>,
    /// The `seq` of every cursor in the log.
    seqs: HashMap<String, u64>,
    start: u64,
    /// When each deleted message was deleted.
    deleted: HashMap<String, DateTime<Utc>>,
}

/// Prints a summary of the run; returns every problem found.
pub async fn check(program: &Program, report: &RunReport) -> Vec<String> {
    let mut problems = Vec::new();
    let log = match read_log(program, &report.start).await {
        Ok(log) => log,
        Err(problem) => return vec![problem],
    };
    let acknowledged: usize = report.written.iter().flatten().map(|written| written.events().len()).sum();
    let repetitions: u64 = report.written.iter().flatten().map(|written| written.repetitions).sum();
    println!(
        "torture: {}; mutations acknowledged {acknowledged}, repeated {repetitions} times",
        report.injected_faults
    );

    let (missing, duplicates) = check_mutations(report, &log, &all_messages(program).await);
    println!("torture: missing {}, applied twice {}", missing.len(), duplicates.len());
    problems.extend(missing.into_iter().map(|what| format!("acknowledged and missing: {what}")));
    problems.extend(duplicates.into_iter().map(|what| format!("applied twice: {what}")));

    let mut totals = BTreeMap::from([("lost", 0), ("repeated", 0), ("out of order", 0)]);
    for (number, (profile, seen)) in report.subscribers.iter().enumerate() {
        let (faults, skipped) = check_deliveries(profile, seen, &log);
        let count = |what: &str| faults.iter().filter(|(kind, _)| *kind == what).count();
        println!(
            "torture: subscriber {number}, {}: {} items on {} connections; lost {}, repeated {}, out of order {}; \
             {skipped} omitted because the object was deleted before",
            describe(profile),
            seen.items.len(),
            seen.connections,
            count("lost"),
            count("repeated"),
            count("out of order"),
        );
        totals.iter_mut().for_each(|(what, total)| *total += count(what));
        let name = format!("subscriber {number} ({})", describe(profile));
        problems.extend(faults.into_iter().map(|(kind, what)| format!("{name}: {kind}: {what}")));
    }
    println!("torture: all subscribers together: events {totals:?}");
    problems
}

fn describe(profile: &Profile) -> String {
    let field = if profile.only_added { "messageAdded" } else { "events" };
    let place = profile.channel.as_ref().map_or(String::new(), |channel| format!(" of channel {channel}"));
    format!("{field}{place}{}", if profile.long_absences { ", often away" } else { "" })
}

async fn read_log(program: &Program, start: &str) -> Result<Log, String> {
    let printed = program.run(&["tail"]).await;
    let mut log = Log { lines: Vec::new(), seqs: HashMap::new(), start: 0, deleted: HashMap::new() };
    for (index, line) in printed.lines().enumerate() {
        let line: Value = serde_json::from_str(line).map_err(|error| format!("{error} in the log entry {line}"))?;
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        let (Some(cursor), Some(kind), Some(object), Some(at)) =
            (text("cursor"), text("kind"), text("object"), text("at").and_then(|at| at.parse().ok()))
        else {
            return Err(format!("a field is missing in the log entry {line}"));
        };
        let seq = line["seq"].as_u64().unwrap_or_default();
        if seq != index as u64 + 1 {
            return Err(format!("the log has a gap before {line}"));
        }
        if kind == "MessageDeleted" {
            log.deleted.insert(object.clone(), at);
        }
        log.seqs.insert(cursor, seq);
        log.lines.push(LogEntry { seq, kind, object, channel: text("channel"), message: text("message"), at });
    }
    log.start = *log.seqs.get(start).ok_or("the log does not hold the cursor that the subscribers began with")?;
    log.lines.retain(|line| line.seq > log.start);
    Ok(log)
}

/// All messages in the database, read page by page.
async fn all_messages(program: &Program) -> Vec<Value> {
    let (mut messages, mut after) = (Vec::new(), Value::Null);
    loop {
        let mut data = program.data(None, PAGE, &json!({"after": after})).await;
        let page = data["messages"].take();
        messages.extend(page["nodes"].as_array().expect("messages").iter().cloned());
        if page["pageInfo"]["hasNextPage"] == false {
            return messages;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

/// Compares the acknowledged mutations with the log and the database: returns what is missing and what is duplicated.
fn check_mutations(report: &RunReport, log: &Log, stored: &[Value]) -> (Vec<String>, Vec<String>) {
    let (mut missing, mut duplicates) = (Vec::new(), Vec::new());

    // Every mutation that was begun was also acknowledged. So the log must hold exactly these events.
    let mut logged: HashMap<(&str, &str), usize> = HashMap::new();
    for line in &log.lines {
        *logged.entry((&line.kind, &line.object)).or_default() += 1;
    }
    for written in report.written.iter().flatten() {
        for event in written.events() {
            match logged.get_mut(&event).filter(|count| **count > 0) {
                Some(count) => *count -= 1,
                None => missing.push(format!("{event:?} of {written:?} is not in the log")),
            }
        }
    }

    let mut by_title: HashMap<&str, Vec<&Value>> = HashMap::new();
    for message in stored {
        by_title.entry(message["title"].as_str().unwrap_or_default()).or_default().push(message);
    }
    for end in by_title.remove(LAST_TITLE).unwrap_or_default() {
        let count = logged.entry(("MessageAdded", end["id"].as_str().unwrap_or_default())).or_default();
        *count = count.saturating_sub(1);
    }
    duplicates.extend(
        logged
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(event, count)| format!("{event:?} is in the log {count} times more often than acknowledged")),
    );

    for written in report.written.iter().flatten() {
        let found = by_title.remove(written.title.as_str()).unwrap_or_default();
        if found.len() > usize::from(!written.deleted) {
            duplicates.push(format!("{written:?} is stored as {found:?}"));
        }
        let comments: Vec<Value> =
            written.comment.iter().map(|comment| json!({"id": comment, "content": written.title})).collect();
        let expected = json!({"id": written.id, "title": written.title, "content": written.content,
            "comments": {"nodes": comments}});
        if !written.deleted && !found.contains(&&expected) {
            missing.push(format!("{expected}, but the database has {found:?}"));
        }
    }
    duplicates.extend(by_title.into_values().flatten().map(|message| format!("no writer created {message}")));
    (missing, duplicates)
}

/// Compares the items of a subscriber with the log. Returns the faults, and how many events were omitted because the
/// object had been deleted.
fn check_deliveries(profile: &Profile, seen: &Received, log: &Log) -> (Vec<(&'static str, String)>, usize) {
    let mut faults = Vec::new();
    let wanted = |line: &&LogEntry| {
        (!profile.only_added || line.kind == "MessageAdded")
            && profile.channel.as_ref().is_none_or(|channel| line.channel.as_ref() == Some(channel))
    };
    let wanted: BTreeMap<u64, &LogEntry> = log.lines.iter().filter(wanted).map(|line| (line.seq, line)).collect();
    let mut delivered = HashSet::new();
    // For each `seq`: when the subscriber was first known to have passed it.
    let mut passed = BTreeMap::new();
    let mut last = log.start;
    for item in &seen.items {
        let Some(&seq) = log.seqs.get(&item.cursor) else {
            faults.push(("not in the log", format!("{item:?}")));
            continue;
        };
        let is_event = item.kind != "Checkpoint";
        if is_event && !delivered.insert(seq) {
            faults.push(("repeated", format!("{seq} {item:?}")));
        } else if seq < last || (is_event && seq == last) {
            faults.push(("out of order", format!("{seq} {item:?} after {last}")));
        } else if is_event && wanted.get(&seq).is_none_or(|line| line.kind != item.kind || line.object != item.object) {
            faults.push(("not what the log says", format!("{seq} {item:?}")));
        }
        passed.entry(seq).or_insert(item.at);
        last = last.max(seq);
    }
    let mut skipped = 0;
    for (seq, line) in wanted.iter().filter(|(seq, _)| !delivered.contains(*seq)) {
        // An event may be omitted if its message was deleted before the subscriber passed it. A deletion may not be
        // omitted.
        let next = passed.range(seq..).next().map(|(_, at)| at);
        let deleted = line.message.as_ref().and_then(|message| log.deleted.get(message));
        let is_skipped =
            line.kind != "MessageDeleted" && next.zip(deleted).is_some_and(|(next, deleted)| deleted <= next);
        if is_skipped {
            skipped += 1;
        } else {
            let LogEntry { kind, object, at, .. } = line;
            faults.push(("lost", format!("{seq} {kind} {object} of {at}; the subscriber passed it at {next:?}")));
        }
    }
    (faults, skipped)
}

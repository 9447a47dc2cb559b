//! The writer and the log, alone and below a server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use serde_json::json;
use tidings::board::Retention;
use tidings::error::Error;
use tidings::model::{Cursor, EventBody, EventKind};
use tidings::store::{Batch, BatchState, CommitSink, Db, Effects, NewEvent, Options, ReadPurpose, Store, WriteCommand};

use crate::subscriptions::{EVENTS, events_until_checkpoint};
use crate::support::{Decide, Server};

#[tokio::test]
async fn a_failing_command_does_not_affect_others_in_its_batch() {
    const COMMANDS: i64 = 400;
    let directory = tempfile::tempdir().expect("a directory");
    let batches = Arc::new(Mutex::new(Vec::new()));
    let delivered = Arc::clone(&batches);
    let options = Options::sqlite(&directory.path().join("t.db"), 2);
    let tail = Listener(move |batch| delivered.lock().unwrap().push(batch));
    let store = Arc::new(Store::open(&options, tail).expect("a store"));
    let writing = (0..COMMANDS).map(|number| store.write(command(number)).map(move |made| (number, made)));
    let outcomes: Vec<(i64, Result<Cursor, Error>)> = join_all(writing).await;
    for (number, outcome) in &outcomes {
        match number % 4 {
            0 => assert!(matches!(outcome, Err(Error::Conflict(_))), "{number}: {outcome:?}"),
            1 => assert!(matches!(outcome, Err(Error::NotFound(_))), "{number}: {outcome:?}"),
            2 => assert!(matches!(outcome, Err(Error::Internal(_))), "{number}: {outcome:?}"),
            _ => assert!(outcome.is_ok(), "{number}: {outcome:?}"),
        }
    }
    let genesis =
        tidings::store::log::oldest(store.snapshot(ReadPurpose::Own).expect("a snapshot").db()).expect("the beginning");
    let (events, head) =
        tidings::store::log_pages::read(store.snapshot(ReadPurpose::Own).expect("a snapshot").db(), genesis)
            .expect("the log");
    let positions: Vec<i64> = events.iter().map(|event| event.cursor.seq.0).collect();
    assert_eq!(
        positions,
        (1..=COMMANDS / 4).collect::<Vec<_>>(),
        "the log has no gaps and no events of failed commands"
    );
    let mut objects: Vec<i64> = events.iter().map(|event| event.object).collect();
    objects.sort_unstable();
    assert_eq!(objects, (0..COMMANDS).filter(|number| number % 4 == 3).collect::<Vec<_>>());
    for (number, outcome) in outcomes {
        if let Ok(cursor) = outcome {
            let event = events.iter().find(|event| event.cursor == cursor).expect("the event that was acknowledged");
            assert_eq!(event.object, number);
        }
    }
    let delivered: Vec<Cursor> = batches
        .lock()
        .unwrap()
        .iter()
        .flat_map(|batch: &Batch| &batch.events)
        .map(|logged| logged.event.cursor)
        .collect();
    assert_eq!(
        delivered,
        events.iter().map(|event| event.cursor).collect::<Vec<_>>(),
        "the listener gets every event once and in order"
    );
    assert_eq!(head, events.last().expect("events").cursor);
}

/// Receives every batch; its instance has no rights to bring up to date.
struct Listener<F>(F);

impl<F: FnMut(Batch) + Send + 'static> CommitSink for Listener<F> {
    fn committed(&mut self, batch: Batch) {
        self.0(batch);
    }
}

fn command(number: i64) -> impl WriteCommand<Output = Cursor> {
    Decide(move |_: &BatchState, effects: &mut Effects| {
        if number % 4 == 0 {
            return Err(Error::Conflict("refused before its first effect".into()));
        }
        let cursor = effects.next_cursor();
        effects.record(NewEvent::new(EventKind::TemplateDeleted, number, None), EventBody::None);
        match number % 4 {
            1 => Err(Error::NotFound("thing, after an effect")),
            // Unwinds like a panic, without printing a message.
            2 => std::panic::resume_unwind(Box::new("after an effect")),
            _ => Ok(cursor),
        }
    })
}

#[tokio::test]
async fn waiting_commands_share_commits() {
    const COMMANDS: i64 = 200;
    let directory = tempfile::tempdir().expect("a directory");
    let (tell, delivered) = std::sync::mpsc::channel();
    let options = Options::sqlite(&directory.path().join("t.db"), 2);
    let tail = Listener(move |batch: Batch| tell.send(batch.events.len()).expect("the receiver exists"));
    let store = Store::open(&options, tail).expect("a store");
    let made = join_all((0..COMMANDS).map(|number| store.write(command(4 * number + 3)))).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    drop(store);
    let batches: Vec<usize> = delivered.iter().collect();
    assert_eq!(batches.iter().sum::<usize>(), 200);
    assert!(batches.len() < 100, "{} transactions for {COMMANDS} commands", batches.len());
}

#[tokio::test]
async fn a_pruned_log_rejects_old_cursors_and_names_the_oldest_valid_one() {
    let mut server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let mut cursors = Vec::new();
    for number in 0..20 {
        cursors.push(server.cursor(None).await);
        server.post(&ann, &channel, &number.to_string()).await;
    }
    let board = Arc::clone(server.board());
    let prune = async |age, events| board.pruner(Retention { age, events }).prune().await.expect("pruned");
    assert_eq!(prune(Duration::from_secs(3_600), 0).await, 0, "events younger than the age are kept");
    assert_eq!(prune(Duration::ZERO, 1_000).await, 0, "the newest events are kept whatever their age");
    assert!(prune(Duration::ZERO, 5).await > 0);
    // Until the restart, the hub could serve the pruned events from its window.
    server.restart().await;
    let mut socket = server.socket(None).await;
    socket.subscribe("old", EVENTS, json!({"after": cursors[0]})).await;
    let error = socket.frame().await;
    let extensions = &error["payload"][0]["extensions"];
    assert_eq!(extensions["code"], "CURSOR_EXPIRED");
    socket.subscribe("oldest", EVENTS, json!({"after": extensions["oldest"]})).await;
    assert_eq!(events_until_checkpoint(&mut socket, "oldest").await.len(), 5, "the newest five events were kept");
    socket.subscribe("young", EVENTS, json!({"after": cursors[19]})).await;
    assert_eq!(events_until_checkpoint(&mut socket, "young").await.len(), 1);
    // Pruning removes no objects, and the next event gets the next `seq`.
    let all = server.data(None, "{ messages(first: 100) { nodes { id } } }", json!({})).await;
    assert_eq!(all["messages"]["nodes"].as_array().unwrap().len(), 20);
    server.post(&ann, &channel, "after pruning").await;
    assert_eq!(socket.frame().await["payload"]["data"]["events"]["message"]["content"], "after pruning");
}

/// During a rolling update, newer instances write event kinds and formats that this version does not know.
#[tokio::test]
async fn unknown_events_are_skipped_and_the_events_around_them_are_delivered() {
    let server = Server::start().await;
    let (ann, ben) = (server.register("ann").await, server.register("ben").await);
    let channel = server.channel(&ann, "general").await;
    let start = server.cursor(None).await;
    let mut socket = server.socket(Some(&ben)).await;
    socket.subscribe("live", EVENTS, json!({})).await;
    assert!(events_until_checkpoint(&mut socket, "live").await.is_empty());
    for round in 0..3 {
        server.post(&ann, &channel, &format!("before {round}")).await;
        let (kind, format) = if round == 1 { (EventKind::MessageAdded.code(), 99) } else { (31_000, 1) };
        server
            .board()
            .store()
            .maintain(move |db| insert_unknown_event(db, kind, format))
            .await
            .expect("the event is written");
        server.post(&ann, &channel, &format!("after {round}")).await;
        for when in ["before", "after"] {
            let item = socket.item("live").await["events"].take();
            assert_eq!(item["message"]["content"], format!("{when} {round}"));
        }
    }
    // The same in a replay. The cursor of an unknown event is a valid start, too.
    for after in [start, server.cursor(None).await] {
        let mut socket = server.socket(Some(&ben)).await;
        socket.subscribe("e", EVENTS, json!({"after": after})).await;
        let events = events_until_checkpoint(&mut socket, "e").await;
        assert!(events.is_empty() || events.len() == 6, "{events:?}");
    }
}

/// Writes an event with this kind and format, as another version would.
fn insert_unknown_event(db: &mut Db, kind: i16, format: i16) -> Result<(), Error> {
    let insert = format!(
        "INSERT INTO events (seq, tag, format, kind, object_id, ticket, audience, at) \
         SELECT head + 1, {}, {format}, {kind}, 7, (1 = 0), '', 0 FROM log_head",
        rand::random::<u32>(),
    );
    for statement in [insert.as_str(), "UPDATE log_head SET head = head + 1, access_head = head + 1"] {
        diesel::RunQueryDsl::execute(diesel::sql_query(statement), db).map_err(Error::internal)?;
    }
    Ok(())
}

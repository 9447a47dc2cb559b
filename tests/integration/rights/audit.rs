//! Compares everything that decides what a reader sees, at one moment.

use serde_json::{Value, json};
use tidings::model::{ChannelId, Cursor, MessageId, TemplateId};
use tidings::store::{channels, messages, templates, users};

use super::fixture::{Change, Fixture, LoggedChange};
use super::model::{Key, Kind, Rule, VisibleObjects};
use super::reader::{self, TestReader, apply, check_item, expect_checkpoint, expected};
use crate::support::{Session, text};

/// For one reader, compares a query, a replay from the beginning, the rule in memory and the rule in SQL with the
/// model.
pub async fn verify(reader: &TestReader, fixture: &Fixture) -> Result<(), String> {
    let agreed: Result<(), String> = async {
        queries(reader, fixture).await?;
        app_events(reader, fixture).await?;
        replays(reader, fixture).await?;
        rules(reader, fixture).await
    }
    .await;
    agreed.map_err(|wrong| format!("reader {:?}: {wrong}", reader.reader))
}

async fn queries(reader: &TestReader, fixture: &Fixture) -> Result<(), String> {
    let (shown, _) = query(fixture, reader.session.as_ref()).await;
    let visible = fixture.model.visible(reader.reader);
    if shown == visible { Ok(()) } else { Err(format!("a query shows {shown:?}, but the model has {visible:?}")) }
}

/// Compares the list of application events of each channel with the model.
async fn app_events(reader: &TestReader, fixture: &Fixture) -> Result<(), String> {
    let model = &fixture.model;
    for (key, object) in model.objects.iter().filter(|((kind, _), _)| *kind == Kind::Channel) {
        let query = "query ($id: ID!) { appEvents(channelId: $id, first: 100) { nodes { data } } }";
        let mut answer = fixture.server.execute(reader.session.as_ref(), query, json!({"id": key.1})).await;
        if object.is_deleted || !model.can_see(reader.reader, key) {
            let code = &answer["errors"][0]["extensions"]["code"];
            if code != "NOT_FOUND" {
                return Err(format!("channel {}: the list of events is {answer}", key.1));
            }
            continue;
        }
        let is_here = |logged: &&LoggedChange| {
            matches!(logged.what, Change::Published(_)) && logged.what.channel(model).as_ref() == Some(&key.1)
        };
        let visible =
            fixture.log.iter().filter(is_here).filter(|logged| logged.what.is_visible_to(reader.reader, model));
        let expected: Vec<Value> = visible.map(|logged| json!({"data": data_of(&logged.what)})).collect();
        let shown = answer["data"]["appEvents"]["nodes"].take();
        if shown != json!(expected) {
            return Err(format!("channel {}: the list of events is {shown}, but the model has {expected:?}", key.1));
        }
    }
    Ok(())
}

fn data_of(change: &Change) -> Option<&str> {
    match change {
        Change::Published(data) => Some(data),
        _ => None,
    }
}

async fn replays(reader: &TestReader, fixture: &Fixture) -> Result<(), String> {
    let mut socket = fixture.server.socket(reader.session.as_ref()).await;
    socket.subscribe("r", &reader::query("events(after: $after)"), json!({"after": fixture.start})).await;
    let all: Vec<&LoggedChange> = fixture.log.iter().collect();
    let mut state = VisibleObjects::new();
    for logged in expected(reader.reader, &fixture.model, &all) {
        let value = check_item(&logged, &socket.frame().await, &fixture.model)?;
        if let Change::Object(_, key) = &logged.what {
            apply(&mut state, key, value, &fixture.model);
        }
    }
    expect_checkpoint(socket.frame().await)?;
    let visible = fixture.model.visible(reader.reader);
    if state == visible { Ok(()) } else { Err(format!("a replay shows {state:?}, but the model has {visible:?}")) }
}

/// Compares `Viewer::sees` for each event, and the SQL conditions for each object, with the model.
async fn rules(reader: &TestReader, fixture: &Fixture) -> Result<(), String> {
    let wrong = |error: tidings::error::Error| error.to_string();
    let board = fixture.server.board();
    let in_memory = match &reader.session {
        Some(session) => board.accounts.authenticate(&session.token).await.map_err(wrong)?.0,
        None => board.accounts.anonymous_viewer(std::net::Ipv4Addr::LOCALHOST.into()),
    };
    for LoggedChange { event, what } in &fixture.log {
        if in_memory.can_see(event) != what.is_visible_to(reader.reader, &fixture.model) {
            return Err(format!("the rule in memory differs from the model for {what:?}"));
        }
    }
    let rights = in_memory.rights().map_err(wrong)?;
    let mut snapshot = board.store().snapshot(tidings::store::ReadPurpose::Own).map_err(wrong)?;
    let db = snapshot.db();
    if let Some(user) = rights.user {
        let user = users::find(db, user).map_err(wrong)?.ok_or("no user")?;
        let stored = users::rights(db, &user).map_err(wrong)?;
        if stored != *rights {
            return Err(format!("the rights in memory are {rights:?}, those in the database {stored:?}"));
        }
    }
    for (key, object) in &fixture.model.objects {
        let sees = fixture.model.can_see(reader.reader, key);
        let (found, expected) = match key.0 {
            // A deleted channel stays readable for replays, so the check is whether it was readable.
            Kind::Channel if object.is_deleted => (channels::was_readable(db, &rights, ChannelId(number(key))), sees),
            Kind::Channel => (channels::find(db, &rights, ChannelId(number(key))).map(|found| found.is_some()), sees),
            Kind::Message => {
                let found = messages::find(db, &rights, MessageId(number(key)));
                (found.map(|found| found.is_some()), sees && !object.is_deleted)
            }
            Kind::Comment => {
                let Rule::Comment { message, .. } = &object.rule else { return Err("no comment".into()) };
                let message = (Kind::Message, message.clone());
                let found = messages::find(db, &rights, MessageId(number(&message)));
                (found.map(|found| found.is_some()), sees && !fixture.model.objects[&message].is_deleted)
            }
            // The server never queries templates for anonymous readers.
            Kind::Template if reader.reader.is_none() => continue,
            Kind::Template => {
                let found = templates::find(db, &rights, TemplateId(number(key)));
                (found.map(|found| found.is_some()), sees && !object.is_deleted)
            }
        };
        if found.map_err(wrong)? != expected {
            return Err(format!("the rule in SQL differs from the model for {key:?}"));
        }
    }
    Ok(())
}

fn number(key: &Key) -> i64 {
    key.1.parse().expect("a number")
}

/// Everything that a query shows to a reader, and the cursor of that query.
pub async fn query(fixture: &Fixture, session: Option<&Session>) -> (VisibleObjects, Cursor) {
    let templates = if session.is_some() { "templates(first: 100) { nodes { id text: name } }" } else { "" };
    let query = format!(
        "{{ cursor {templates} channels(first: 100) {{ nodes {{ id text: name }} }}
            messages(first: 100) {{ nodes {{
                id text: content comments(first: 100) {{ nodes {{ id text: content }} }} }} }} }}"
    );
    let data = fixture.server.data(session, &query, json!({})).await;
    let mut objects = VisibleObjects::new();
    put(&mut objects, Kind::Template, &data["templates"]);
    put(&mut objects, Kind::Channel, &data["channels"]);
    put(&mut objects, Kind::Message, &data["messages"]);
    for message in nodes(&data["messages"]) {
        put(&mut objects, Kind::Comment, &message["comments"]);
    }
    (objects, text(&data["cursor"]).parse().expect("a cursor"))
}

fn nodes(page: &Value) -> &[Value] {
    page["nodes"].as_array().map_or(&[], Vec::as_slice)
}

fn put(objects: &mut VisibleObjects, kind: Kind, page: &Value) {
    let found = nodes(page).iter().map(|node| ((kind, text(&node["id"])), text(&node["text"])));
    objects.extend(found);
}

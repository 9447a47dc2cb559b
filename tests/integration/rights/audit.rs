//! Compares everything that decides what a reader sees, at one moment.

use serde_json::{Value, json};
use tidings::model::{ChannelId, Cursor, MessageId, TemplateId};
use tidings::store::{channels, messages, templates, users};

use super::model::{Key, Kind, Rule, Things};
use super::stage::{Happened, Stage, What};
use super::viewer::{self, Viewer, expected, fold, live, shown};
use crate::support::{Session, text};

/// For one reader, compares a query, a replay from the beginning, the rule in memory and the rule in SQL with the
/// model.
pub async fn agree(viewer: &Viewer, stage: &Stage) -> Result<(), String> {
    let agreed: Result<(), String> = async {
        queries(viewer, stage).await?;
        replays(viewer, stage).await?;
        rules(viewer, stage).await
    }
    .await;
    agreed.map_err(|wrong| format!("reader {:?}: {wrong}", viewer.reader))
}

async fn queries(viewer: &Viewer, stage: &Stage) -> Result<(), String> {
    let (shown, _) = query(stage, viewer.session.as_ref()).await;
    let visible = stage.model.visible(viewer.reader);
    if shown == visible { Ok(()) } else { Err(format!("a query shows {shown:?}, but the model has {visible:?}")) }
}

async fn replays(viewer: &Viewer, stage: &Stage) -> Result<(), String> {
    let mut socket = stage.server.socket(viewer.session.as_ref()).await;
    socket.subscribe("r", &viewer::query("events(after: $after)"), json!({"after": stage.start})).await;
    let all: Vec<&Happened> = stage.log.iter().collect();
    let mut state = Things::new();
    for happened in expected(viewer.reader, &stage.model, &all) {
        let value = shown(&happened, &socket.frame().await, &stage.model)?;
        if let What::Changed(_, key) = &happened.what {
            fold(&mut state, key, value, &stage.model);
        }
    }
    live(socket.frame().await)?;
    let visible = stage.model.visible(viewer.reader);
    if state == visible { Ok(()) } else { Err(format!("a replay shows {state:?}, but the model has {visible:?}")) }
}

/// Compares `Viewer::sees` for each event, and the SQL conditions for each object, with the model.
async fn rules(viewer: &Viewer, stage: &Stage) -> Result<(), String> {
    let wrong = |error: tidings::error::Error| error.to_string();
    let board = stage.server.board();
    let in_memory = match &viewer.session {
        Some(session) => board.authenticate(&session.token).await.map_err(wrong)?.0,
        None => board.stranger(std::net::Ipv4Addr::LOCALHOST.into()),
    };
    for Happened { event, what } in &stage.log {
        if in_memory.sees(event) != what.is_for(viewer.reader, &stage.model) {
            return Err(format!("the rule in memory differs from the model for {what:?}"));
        }
    }
    let rights = in_memory.rights().map_err(wrong)?;
    let mut snapshot = board.store().snapshot(tidings::store::Lane::Own).map_err(wrong)?;
    let db = snapshot.db();
    if let Some(user) = rights.user {
        let user = users::find(db, user).map_err(wrong)?.ok_or("no user")?;
        let stored = users::rights(db, &user).map_err(wrong)?;
        if stored != *rights {
            return Err(format!("the rights in memory are {rights:?}, those in the database {stored:?}"));
        }
    }
    for (key, object) in &stage.model.objects {
        let sees = stage.model.sees(viewer.reader, key);
        let (found, expected) = match key.0 {
            // A deleted channel stays readable for replays, so the check is whether it was readable.
            Kind::Channel if object.is_gone => (channels::was_readable(db, &rights, ChannelId(number(key))), sees),
            Kind::Channel => (channels::find(db, &rights, ChannelId(number(key))).map(|found| found.is_some()), sees),
            Kind::Message => {
                let found = messages::find(db, &rights, MessageId(number(key)));
                (found.map(|found| found.is_some()), sees && !object.is_gone)
            }
            Kind::Comment => {
                let Rule::Comment { message, .. } = &object.rule else { return Err("no comment".into()) };
                let message = (Kind::Message, message.clone());
                let found = messages::find(db, &rights, MessageId(number(&message)));
                (found.map(|found| found.is_some()), sees && !stage.model.objects[&message].is_gone)
            }
            // The server never queries templates for anonymous readers.
            Kind::Template if viewer.reader.is_none() => continue,
            Kind::Template => {
                let found = templates::find(db, &rights, TemplateId(number(key)));
                (found.map(|found| found.is_some()), sees && !object.is_gone)
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
pub async fn query(stage: &Stage, session: Option<&Session>) -> (Things, Cursor) {
    let templates = if session.is_some() { "templates(first: 100) { nodes { id text: name } }" } else { "" };
    let query = format!(
        "{{ cursor {templates} channels(first: 100) {{ nodes {{ id text: name }} }}
            messages(first: 100) {{ nodes {{
                id text: content comments(first: 100) {{ nodes {{ id text: content }} }} }} }} }}"
    );
    let data = stage.server.data(session, &query, json!({})).await;
    let mut things = Things::new();
    put(&mut things, Kind::Template, &data["templates"]);
    put(&mut things, Kind::Channel, &data["channels"]);
    put(&mut things, Kind::Message, &data["messages"]);
    for message in nodes(&data["messages"]) {
        put(&mut things, Kind::Comment, &message["comments"]);
    }
    (things, text(&data["cursor"]).parse().expect("a cursor"))
}

fn nodes(page: &Value) -> &[Value] {
    page["nodes"].as_array().map_or(&[], Vec::as_slice)
}

fn put(things: &mut Things, kind: Kind, page: &Value) {
    let found = nodes(page).iter().map(|node| ((kind, text(&node["id"])), text(&node["text"])));
    things.extend(found);
}

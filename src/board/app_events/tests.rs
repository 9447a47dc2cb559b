//! Unit tests of the decisions about application events.

use super::*;
use crate::board::ChannelEdit;
use crate::board::channels::tests as channels;
use crate::board::event_type_cache::EventTypeCache;
use crate::board::event_types::tests as event_types;
use crate::board::tests::BoardFixture;
use crate::model::{AppEvent, ChannelPublishing, EventKind, JsonText, LocationId, Timestamp, UserId, Visibility};

fn new(channel: ChannelId) -> NewAppEvent {
    NewAppEvent {
        channel: ChannelAddress::Id(channel),
        app_type: "order.paid".into(),
        data: JsonText::parse("{\"n\":1}").expect("JSON"),
        key: None,
        locations: Vec::new(),
    }
}

fn keyed(channel: ChannelId, key: &str) -> NewAppEvent {
    NewAppEvent { key: Some(key.into()), ..new(channel) }
}

fn of_type(channel: ChannelId, app_type: &str) -> NewAppEvent {
    NewAppEvent { app_type: app_type.into(), ..new(channel) }
}

/// An event with a number as its data.
pub fn numbered(channel: ChannelId, number: u8, key: Option<String>) -> NewAppEvent {
    NewAppEvent { data: JsonText::parse(&number.to_string()).expect("JSON"), key, ..new(channel) }
}

/// The command that publishes events, whose channels have ids.
pub fn publish(author: UserId, events: Vec<NewAppEvent>) -> impl ViewerCommand<Output = Outcome> {
    publish_with([&Arc::default(); 2], author, events)
}

/// The same with types of events: those by which the data is checked first, and those when the command decides.
fn publish_with(
    types: [&Arc<EventTypeCache>; 2],
    author: UserId,
    events: Vec<NewAppEvent>,
) -> impl ViewerCommand<Output = Outcome> + use<> {
    let checked = events.into_iter().map(|event| {
        let ChannelAddress::Id(channel) = event.channel else { panic!("a name") };
        let mut event = EventToPublish::new(author, channel, event).expect("valid fields");
        event.check_data(&types[0].current());
        event
    });
    PublishEvents { events: checked.collect(), types: Arc::clone(types[1]) }
}

fn run(board: &mut BoardFixture, author: UserId, events: Vec<NewAppEvent>) -> Result<Vec<Published>, PublishError> {
    board.run(author, publish(author, events)).expect("an outcome").output.0
}

fn let_members_publish(board: &mut BoardFixture, owner: UserId, channel: ChannelId) {
    let edit = ChannelEdit { publishing: Some(ChannelPublishing::Members), ..channels::edit(channel) };
    board.run(owner, channels::update(edit)).expect("updated");
}

#[test]
fn an_event_is_recorded_with_its_type_data_and_key() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let channel = board.public_channel(ada);
    let change = board.run(ada, publish(ada, vec![keyed(channel, "k")])).expect("published");
    let logged = change.event();
    let published = change.output.0.as_ref().expect("published");
    assert_eq!(published[0].event, AppEvent::of(&logged.event).expect("an application event"));
    assert!(!published[0].is_duplicate);
    let event = &logged.event;
    assert_eq!((event.kind, event.object, event.actor), (EventKind::AppEvent, channel.0, Some(ada)));
    assert_eq!((event.channel, event.app_type.as_deref()), (Some(channel), Some("order.paid")));
    assert_eq!(event.payload.as_deref(), Some("{\"n\":1}"));
    assert_eq!(event.key.as_ref().map(|key| key.name.as_str()), Some("k"));
}

#[test]
fn members_publish_only_where_the_channel_lets_them() {
    let mut board = BoardFixture::new();
    let (ada, ben, cleo, dora) = (board.admin("ada"), board.user("ben"), board.user("cleo"), board.user("dora"));
    let public = board.public_channel(ben);
    let private = board.private_channel(ben, &[cleo]);
    let outcome = |board: &mut BoardFixture, user, channel| run(board, user, vec![new(channel)]).map(drop);
    let refused = |error| Err(PublishError { index: Some(0), error });
    let forbidden = |text: &str| refused(Error::Forbidden(text.into()));
    let keys_only =
        forbidden("only an admin, or an API key with the scope PUBLISH, may publish events in this channel");
    for user in [ben, cleo] {
        assert_eq!(outcome(&mut board, user, private), keys_only, "{user}");
    }
    assert_eq!(outcome(&mut board, dora, private), refused(Error::NotFound("channel")));
    assert_eq!(outcome(&mut board, ada, private), Ok(()));
    for channel in [public, private] {
        let_members_publish(&mut board, ben, channel);
    }
    for user in [ada, ben, cleo] {
        assert_eq!(outcome(&mut board, user, private), Ok(()), "{user}");
    }
    assert_eq!(outcome(&mut board, dora, private), refused(Error::NotFound("channel")));
    let members_only = forbidden("only members of this channel may publish events in it");
    assert_eq!(outcome(&mut board, dora, public), members_only);
}

#[test]
fn one_refused_event_refuses_all_and_is_named_by_its_index() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let channel = board.public_channel(ada);
    let before = board.tables.log.len();
    let events = vec![new(channel), new(channel), new(ChannelId(1_000_000)), new(channel)];
    let refused = run(&mut board, ada, events).expect_err("refused");
    assert_eq!(refused, PublishError { index: Some(2), error: Error::NotFound("channel") });
    assert_eq!(board.tables.log.len(), before);
}

#[test]
fn events_of_one_call_keep_their_order_and_follow_each_other() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let channel = board.public_channel(ada);
    let types: Vec<String> = (0..100).map(|number| format!("n{number}")).collect();
    let events = types.iter().map(|app_type| of_type(channel, app_type)).collect();
    let published = run(&mut board, ada, events).expect("published");
    let found: Vec<&str> = published.iter().map(|one| &*one.event.app_type).collect();
    assert_eq!(found, types);
    let seqs: Vec<i64> = published.iter().map(|one| one.event.cursor.seq.0).collect();
    assert_eq!(seqs, (seqs[0]..seqs[0] + 100).collect::<Vec<_>>());
    assert!(seqs[0] > 0, "{seqs:?}");
}

#[test]
fn a_repeated_key_returns_the_first_event_and_publishes_nothing() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let channel = board.public_channel(ada);
    let first = run(&mut board, ada, vec![keyed(channel, "k")]).expect("published").remove(0);
    board.tables.now = Timestamp(board.tables.now.0 + 5_000_000);
    let before = board.tables.log.len();
    let again = run(&mut board, ada, vec![keyed(channel, "k")]).expect("found").remove(0);
    assert_eq!(again, Published { is_duplicate: true, ..first });
    assert_eq!(board.tables.log.len(), before);
}

#[test]
fn a_key_that_is_repeated_in_one_call_or_in_one_batch_publishes_one_event() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let channel = board.public_channel(ada);
    let before = board.tables.log.len();
    let first = board.queue(ada, publish(ada, vec![keyed(channel, "k"), keyed(channel, "k"), new(channel)]));
    let second = board.queue(ada, publish(ada, vec![keyed(channel, "k")]));
    board.run_queue();
    let (first, second) = (first.get().unwrap().0.unwrap(), second.get().unwrap().0.unwrap());
    let duplicates: Vec<bool> = first.iter().chain(&second).map(|one| one.is_duplicate).collect();
    assert_eq!(duplicates, [false, true, false, true]);
    assert_eq!((&first[1].event, &second[0].event), (&first[0].event, &first[0].event));
    assert_eq!(board.tables.log.len(), before + 2);
    assert!(board.stale.is_empty(), "{:?}", board.stale);
}

#[test]
fn a_key_with_another_input_is_a_conflict() {
    let mut board = BoardFixture::new();
    let (ada, eve) = (board.admin("ada"), board.admin("eve"));
    let channel = board.public_channel(ada);
    run(&mut board, ada, vec![keyed(channel, "k")]).expect("published");
    let other_data = NewAppEvent { data: JsonText::parse("2").unwrap(), ..keyed(channel, "k") };
    let other_type = NewAppEvent { app_type: "other".into(), ..keyed(channel, "k") };
    for other in [other_data.clone(), other_type] {
        let refused = run(&mut board, ada, vec![new(channel), other]).expect_err("refused");
        assert!(matches!(refused, PublishError { index: Some(1), error: Error::Conflict(_) }), "{refused:?}");
    }
    let refused = run(&mut board, ada, vec![keyed(channel, "l"), NewAppEvent { key: Some("l".into()), ..other_data }]);
    assert!(matches!(refused, Err(PublishError { index: Some(1), error: Error::Conflict(_) })), "{refused:?}");
    // Each publisher has keys of their own.
    assert!(!run(&mut board, eve, vec![keyed(channel, "k")]).expect("published")[0].is_duplicate);
}

#[test]
fn the_repetition_of_a_key_is_refused_once_its_publisher_may_not_publish() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let channel = board.private_channel(ada, &[ben]);
    let_members_publish(&mut board, ada, channel);
    run(&mut board, ben, vec![keyed(channel, "k")]).expect("published");
    board.run(ada, channels::remove_member(channel, ben)).expect("removed");
    let refused = run(&mut board, ben, vec![keyed(channel, "k")]).expect_err("refused");
    assert_eq!(refused.error, Error::NotFound("channel"));
}

#[test]
fn an_event_for_locations_is_seen_by_their_users_and_by_its_publisher() {
    let mut board = BoardFixture::new();
    let (ada, ben, cleo) = (board.admin("ada"), board.user("ben"), board.user("cleo"));
    let (_, here) = board.organization("First", &[ben]);
    let channel = board.channel(ada, "general", Visibility::Public);
    let event = NewAppEvent { locations: vec![here], ..new(channel) };
    let change = board.run(ada, publish(ada, vec![event])).expect("published");
    let event = &change.event().event;
    let sees = |user| board.viewer(user).can_see(event);
    assert_eq!([ada, ben, cleo].map(sees), [true, true, false]);
    let nowhere = NewAppEvent { locations: vec![LocationId(99)], ..new(channel) };
    let refused = run(&mut board, ada, vec![nowhere]).expect_err("refused");
    assert_eq!(refused.error, Error::input("shareLocationIds", "no such location"));
}

#[test]
fn invalid_fields_are_refused() {
    let valid = new(ChannelId(1));
    let long = JsonText::parse(&format!("\"{}\"", "x".repeat(64 << 10))).unwrap();
    let json = |text: &str| JsonText::parse(text).unwrap();
    for (field, invalid) in [
        ("type", of_type(ChannelId(1), "")),
        ("type", of_type(ChannelId(1), "order paid")),
        ("type", of_type(ChannelId(1), &"x".repeat(65))),
        ("data", NewAppEvent { data: long, ..valid.clone() }),
        ("data", NewAppEvent { data: json("null"), ..valid.clone() }),
        ("data", NewAppEvent { data: json("\"\\u0000\""), ..valid.clone() }),
        ("idempotencyKey", NewAppEvent { key: Some(" ".into()), ..valid.clone() }),
        ("idempotencyKey", NewAppEvent { key: Some("x".repeat(201)), ..valid.clone() }),
        ("shareLocationIds", NewAppEvent { locations: (0..1_001).map(LocationId).collect(), ..valid }),
    ] {
        let refused = EventToPublish::new(UserId(1), ChannelId(1), invalid.clone()).map(drop);
        assert!(matches!(&refused, Err(Error::BadInput { field: found, .. }) if found == field), "{invalid:?}");
    }
}

/// Types of which `order.paid` has this schema.
fn types(schema: &str) -> Arc<EventTypeCache> {
    EventTypeCache::of([event_types::definition("order.paid", schema)])
}

#[test]
fn the_definition_at_the_decision_counts() {
    let (none, lax, strict) = (Arc::default(), types("true"), types("{\"required\":[\"id\"]}"));
    for (types, fits) in [
        ([&none, &none], true),
        ([&none, &strict], false),
        ([&lax, &strict], false),
        ([&strict, &strict], false),
        ([&strict, &lax], true),
        ([&strict, &none], true),
        ([&lax, &lax], true),
    ] {
        let mut board = BoardFixture::new();
        let ada = board.admin("ada");
        let channel = board.public_channel(ada);
        let command = publish_with(types, ada, vec![of_type(channel, "other"), new(channel)]);
        let outcome = board.run(ada, command).expect("an outcome");
        assert_eq!(outcome.events.len(), if fits { 2 } else { 0 });
        let Err(PublishError { index, error }) = outcome.output.0 else {
            assert!(fits);
            continue;
        };
        assert_eq!(index, Some(1));
        assert!(matches!(error, Error::BadInput { ref field, .. } if field == "data"), "{error}");
    }
}

#[test]
fn a_key_that_was_used_before_the_type_was_defined_returns_the_first_event() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let channel = board.public_channel(ada);
    let first = run(&mut board, ada, vec![keyed(channel, "k")]).expect("published");
    let strict = types("false");
    let again = board.run(ada, publish_with([&strict; 2], ada, vec![keyed(channel, "k")])).expect("an outcome");
    let again = again.output.0.expect("the first event");
    assert_eq!((again[0].is_duplicate, &again[0].event), (true, &first[0].event));
}

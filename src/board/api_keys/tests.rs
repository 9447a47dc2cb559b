//! Unit tests of the decisions about API keys.

use super::*;
use crate::board::messages::tests as messages;
use crate::board::tests::BoardFixture;

/// The input for a key with the scopes `READ` and `WRITE`.
fn new_key(user: UserId) -> NewApiKey {
    NewApiKey {
        name: "key".into(),
        user,
        scopes: vec![ApiScope::Read, ApiScope::Write],
        channels: None,
        mutations_per_second: None,
        expires_at: None,
    }
}

fn create(new: &NewApiKey) -> CreateApiKey {
    CreateApiKey::new(new).expect("valid input").0
}

#[test]
fn a_new_key_is_stored_with_the_digest_of_its_secret() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let (command, secret) = CreateApiKey::new(&new_key(ben)).expect("valid input");
    let created = board.run(ada, command).expect("created");
    assert!(created.events.is_empty());
    let (key, digest) = &board.tables.api_keys[&created.output.id];
    assert_eq!((key, Some(digest.as_str())), (&created.output, api_key_digest(&secret).as_deref()));
    assert_eq!((key.user_id, key.created_at, key.revoked_at), (ben, board.tables.now, None));
}

#[test]
fn only_admins_create_and_revoke_keys() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    assert!(matches!(board.run(ben, create(&new_key(ben))), Err(Error::Forbidden(_))));
    let key = board.run(ada, create(&new_key(ben))).expect("created").output.id;
    assert!(matches!(board.run(ben, RevokeApiKey(key)), Err(Error::Forbidden(_))));
}

#[test]
fn invalid_input_is_refused_by_field() {
    let refused = |change: fn(&mut NewApiKey), field: &str| {
        let mut new = new_key(UserId(1));
        change(&mut new);
        match CreateApiKey::new(&new) {
            Err(Error::BadInput { field: found, .. }) => assert_eq!(found, field),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{field} is accepted"),
        }
    };
    refused(|new| new.name = " ".into(), "name");
    refused(|new| new.name = "n".repeat(101), "name");
    refused(|new| new.scopes.clear(), "scopes");
    refused(|new| new.channels = Some(Vec::new()), "channelIds");
    refused(|new| new.channels = Some((0..101).map(ChannelId).collect()), "channelIds");
    refused(
        |new| {
            new.scopes.push(ApiScope::Admin);
            new.channels = Some(vec![ChannelId(1)]);
        },
        "channelIds",
    );
    refused(|new| new.mutations_per_second = Some(0), "mutationsPerSecond");
    refused(|new| new.mutations_per_second = Some(MAX_RATE + 1), "mutationsPerSecond");
    refused(|new| new.expires_at = Some(Timestamp(1)), "expiresAt");
}

#[test]
fn a_key_needs_an_existing_user_and_existing_channels() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let channel = board.public_channel(ada);
    let unknown_user = board.run(ada, create(&new_key(UserId(99)))).map(|change| change.output);
    assert_eq!(unknown_user, Err(Error::NotFound("user")));
    let limited = |id| create(&NewApiKey { channels: Some(vec![id, channel]), ..new_key(ada) });
    let unknown_channel = board.run(ada, limited(ChannelId(99))).map(|change| change.output);
    assert_eq!(unknown_channel, Err(Error::NotFound("channel")));
    let key = board.run(ada, limited(channel)).expect("created").output;
    assert_eq!(key.channels, Some(vec![channel]), "a channel is listed once");
}

#[test]
fn the_scope_admin_needs_a_user_who_is_an_admin() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let admin_key = |user| create(&NewApiKey { scopes: vec![ApiScope::Admin], ..new_key(user) });
    assert!(matches!(board.run(ada, admin_key(ben)), Err(Error::BadInput { field, .. }) if field == "scopes"));
    board.run(ada, admin_key(ada)).expect("created");
}

#[test]
fn the_number_of_keys_is_bounded() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let key = board.run(ada, create(&new_key(ada))).expect("created").output;
    for number in 2..=MAX_KEYS {
        let id = ApiKeyId(number);
        board.tables.api_keys.insert(id, (ApiKey { id, ..key.clone() }, format!("digest {number}")));
    }
    assert!(matches!(board.run(ada, create(&new_key(ada))), Err(Error::Conflict(_))));
}

#[test]
fn revoking_a_key_ends_its_sessions_once() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let key = board.run(ada, create(&new_key(ben))).expect("created").output.id;
    let revoked = board.run(ada, RevokeApiKey(key)).expect("revoked");
    assert_eq!(revoked.output.revoked_at, Some(board.tables.now));
    let event = &revoked.event().event;
    assert_eq!((event.kind, event.user, event.actor), (EventKind::SessionsEnded, Some(ben), Some(ada)));
    assert_eq!(board.tables.api_keys[&key].0, revoked.output);
    let again = board.run(ada, RevokeApiKey(key)).expect("accepted");
    assert_eq!((again.output, again.events.len()), (revoked.output, 0));
    let missing = board.run(ada, RevokeApiKey(ApiKeyId(99))).map(|change| change.output);
    assert_eq!(missing, Err(Error::NotFound("API key")));
}

#[test]
fn a_key_acts_within_its_scopes_and_channels_until_it_is_revoked() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let (here, elsewhere) = (board.public_channel(ada), board.private_channel(ada, &[ben]));
    let post = |channel| messages::create(ben, messages::new_message(channel));
    let limited = create(&NewApiKey { channels: Some(vec![here]), ..new_key(ben) });
    let limited = board.run(ada, limited).expect("created").output.id;
    let reader = create(&NewApiKey { scopes: vec![ApiScope::Read], ..new_key(ben) });
    let reader = board.run(ada, reader).expect("created").output.id;
    let answer = |board: &mut BoardFixture, key, channel| {
        let queued = board.queue_for(board.viewer_with_key(ben, key), post(channel));
        board.run_queue();
        queued.get().map(|message| message.channel_id)
    };
    assert_eq!(answer(&mut board, limited, here), Ok(here));
    assert_eq!(answer(&mut board, limited, elsewhere), Err(Error::NotFound("channel")));
    assert!(matches!(answer(&mut board, reader, here), Err(Error::Forbidden(_))));
    let queued = board.queue_for(board.viewer_with_key(ben, limited), post(here));
    let revoking = board.queue(ada, RevokeApiKey(limited));
    let late = board.queue_for(board.viewer_with_key(ben, limited), post(here));
    board.run_queue();
    queued.get().expect("posted before the revocation");
    revoking.get().expect("revoked");
    assert!(matches!(late.get(), Err(Error::Unauthenticated(_))));
}

//! Unit tests of the decisions about sessions.

use super::*;
use crate::board::messages::tests as messages;
use crate::board::tests::BoardFixture;
use crate::model::EventKind;

const HOUR: Duration = Duration::from_secs(3600);

/// The command that starts a session with this refresh token.
fn start(user: UserId, version: i64, token: &RefreshToken) -> StartSession {
    StartSession {
        user,
        version,
        family: token.family_digest(),
        secret: token.secret_digest(),
        user_agent: Some("a browser".into()),
        lifetime: HOUR,
    }
}

/// The command that uses a refresh token.
fn renew(used: &RefreshToken, next: &RefreshToken) -> RenewSession {
    RenewSession {
        family: used.family_digest(),
        secret: used.secret_digest(),
        next: next.secret_digest(),
        lifetime: HOUR,
    }
}

/// Starts a session. Returns its id and its refresh token.
fn started(board: &mut BoardFixture, user: UserId) -> (SessionId, RefreshToken) {
    let token = RefreshToken::generate();
    let change = board.run_for_server(start(user, 0, &token)).expect("started");
    assert!(change.events.is_empty());
    (change.output, token)
}

#[test]
fn a_new_session_is_stored_with_digests() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let (id, token) = started(&mut board, ben);
    let session = &board.tables.sessions[&id];
    assert_eq!((session.user_id, session.user_agent.as_deref()), (ben, Some("a browser")));
    assert_eq!(session.expires_at, board.tables.now.after(HOUR));
    assert_eq!((&session.family, &session.secret), (&token.family_digest(), &token.secret_digest()));
    assert_eq!(board.tables.users[&ben].last_session, id);
}

#[test]
fn no_session_starts_after_the_account_was_disabled_or_its_sessions_ended() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let token = RefreshToken::generate();
    assert!(matches!(board.run_for_server(start(ben, 1, &token)), Err(Error::Unauthenticated(_))));
    board.tables.user_mut(ben).disabled = true;
    assert!(matches!(board.run_for_server(start(ben, 0, &token)), Err(Error::Unauthenticated(_))));
}

#[test]
fn a_further_session_ends_the_one_that_was_not_used_for_the_longest_time() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let ids: Vec<SessionId> = (0..MAX_SESSIONS).map(|_| started(&mut board, ben).0).collect();
    let unused = ids[3];
    for session in board.tables.sessions.values_mut().filter(|session| session.id != unused) {
        session.last_seen_at = session.last_seen_at.after(HOUR);
    }
    let change = board.run_for_server(start(ben, 0, &RefreshToken::generate())).expect("started");
    assert_eq!(change.event().event.kind, EventKind::SessionsEnded);
    assert_eq!(board.tables.sessions.len(), MAX_SESSIONS);
    assert!(!board.tables.sessions.contains_key(&unused));
}

#[test]
fn a_refresh_token_is_replaced_and_prolongs_the_session() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let (id, first) = started(&mut board, ben);
    board.tables.now = board.tables.now.after(HOUR / 2);
    let second = first.next();
    let change = board.run_for_server(renew(&first, &second)).expect("renewed");
    assert_eq!(change.output, Renewal::Renewed(Box::new(board.tables.users[&ben].clone()), id));
    assert!(change.events.is_empty());
    let session = &board.tables.sessions[&id];
    assert_eq!((&session.secret, session.expires_at), (&second.secret_digest(), board.tables.now.after(HOUR)));
}

#[test]
fn a_refresh_token_that_is_used_twice_ends_its_session_only() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let (ended, first) = started(&mut board, ben);
    let (other, _) = started(&mut board, ben);
    let second = first.next();
    board.run_for_server(renew(&first, &second)).expect("renewed");
    let change = board.run_for_server(renew(&first, &first.next())).expect("decided");
    assert_eq!(change.output, Renewal::UsedTwice);
    let event = &change.event().event;
    assert_eq!((event.kind, event.user), (EventKind::SessionsEnded, Some(ben)));
    assert_eq!(board.tables.sessions.keys().collect::<Vec<_>>(), [&other]);
    let after = board.run_for_server(renew(&second, &second.next()));
    assert!(matches!(after, Err(Error::Unauthenticated(_))), "the newest token ends with the session {ended}");
}

#[test]
fn unknown_and_expired_refresh_tokens_are_refused() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let (_, token) = started(&mut board, ben);
    let unknown = RefreshToken::generate();
    assert!(matches!(board.run_for_server(renew(&unknown, &unknown.next())), Err(Error::Unauthenticated(_))));
    board.tables.now = board.tables.now.after(HOUR);
    assert!(matches!(board.run_for_server(renew(&token, &token.next())), Err(Error::Unauthenticated(_))));
}

#[test]
fn users_end_their_own_sessions_only() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    let (id, _) = started(&mut board, ben);
    assert_eq!(board.run(ada, EndSession(id)).map(drop), Err(Error::NotFound("session")));
    let change = board.run(ben, EndSession(id)).expect("ended");
    assert_eq!((change.event().event.kind, change.event().event.user), (EventKind::SessionsEnded, Some(ben)));
    assert!(board.tables.sessions.is_empty());
}

#[test]
fn commands_of_an_ended_session_are_refused_and_those_of_other_sessions_run() {
    let mut board = BoardFixture::new();
    let ben = board.user("ben");
    let channel = board.public_channel(ben);
    let [(ended, _), (other, _)] = [started(&mut board, ben), started(&mut board, ben)];
    let [ended_viewer, other_viewer] = [ended, other].map(|id| board.viewer_in(ben, Some(id)));
    board.run(ben, EndSession(ended)).expect("ended");
    let refused = board.queue_for(ended_viewer, messages::create(ben, messages::new_message(channel)));
    let created = board.queue_for(other_viewer, messages::create(ben, messages::new_message(channel)));
    board.run_queue();
    assert!(matches!(refused.get(), Err(Error::Unauthenticated(_))));
    created.get().expect("created");
}

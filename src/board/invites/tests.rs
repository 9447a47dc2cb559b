//! Unit tests of the decisions about invitations.

use super::*;
use crate::board::tests::BoardFixture;

/// An invitation for members, without limits.
pub fn new_invite() -> NewInvite {
    let (organization, location, max_uses, expires_at) = (None, None, None, None);
    NewInvite { role: Role::Member, channels: Vec::new(), organization, location, max_uses, expires_at }
}

/// The command that creates an invitation.
pub fn create(new: NewInvite) -> impl ViewerCommand<Output = Invite> {
    CreateInvite::new(new).expect("valid")
}

#[test]
fn an_admin_creates_and_revokes_an_invitation() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let invite = board.run(ada, create(new_invite())).expect("created").output;
    assert_eq!(board.tables.invites[&invite.id], invite);
    assert!(invite.is_valid(board.tables.now));
    let revoked = board.run(ada, RevokeInvite(invite.id)).expect("revoked").output;
    assert_eq!((revoked.revoked_at, revoked.is_valid(board.tables.now)), (Some(board.tables.now), false));
    assert_eq!(board.run(ada, RevokeInvite(invite.id)).expect("again").output, revoked);
    assert_eq!(board.run(ada, RevokeInvite(InviteId(99))).map(drop), Err(Error::NotFound("invitation")));
}

#[test]
fn an_invitation_is_valid_until_it_is_used_up_or_expires() {
    let mut board = BoardFixture::new();
    let ada = board.admin("ada");
    let end = board.tables.now.after(Duration::from_secs(60));
    let limited = NewInvite { max_uses: Some(1), expires_at: Some(end), ..new_invite() };
    let invite = board.run(ada, create(limited)).expect("created").output;
    assert!(invite.is_valid(board.tables.now) && !invite.is_valid(end));
    assert!(!Invite { uses: 1, ..invite }.is_valid(board.tables.now));
}

#[test]
fn invalid_invitations_are_refused() {
    let mut board = BoardFixture::new();
    let (ada, ben) = (board.admin("ada"), board.user("ben"));
    assert!(CreateInvite::new(NewInvite { max_uses: Some(0), ..new_invite() }).is_err());
    for wrong in [
        NewInvite { organization: Some(OrganizationId(9)), ..new_invite() },
        NewInvite { location: Some(LocationId(9)), ..new_invite() },
        NewInvite { expires_at: Some(board.tables.now), ..new_invite() },
    ] {
        assert!(matches!(board.run(ada, create(wrong)), Err(Error::BadInput { .. })));
    }
    let missing = NewInvite { channels: vec![ChannelId(9)], ..new_invite() };
    assert_eq!(board.run(ada, create(missing)).map(drop), Err(Error::NotFound("channel")));
    assert!(matches!(board.run(ben, create(new_invite())), Err(Error::Forbidden(_))));
}

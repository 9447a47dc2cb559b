//! One user of a call that creates users.

use std::collections::HashMap;

use crate::board::accounts::{check_lookalike_display_name, check_lookalike_username, checked_password};
use crate::board::idempotency::IdempotencyKey;
use crate::board::permissions::UserState;
use crate::board::policy::MAX_USERNAME;
use crate::board::validate;
use crate::error::{Error, Result};
use crate::model::{
    ChannelId, ExternalIdentity, LocationId, OrganizationId, Role, SessionId, Timestamp, User, UserId, UserKind,
};
use crate::store::idempotency::CreatedObject;
use crate::store::{BatchState, Effects, NewUserRow};
use crate::unicode;

/// The longest issuer, and the longest subject, in bytes. PostgreSQL cannot index more than about 2,700 bytes.
const MAX_IDENTITY_BYTES: usize = 1_000;
/// The most channels that a new user becomes a member of at once.
const MAX_CHANNELS: usize = 100;

/// The input for a new user.
#[derive(Clone)]
pub struct AccountInput {
    /// The name for signing in; unique.
    pub username: String,
    /// The name that other users see; the default is the username.
    pub display_name: Option<String>,
    /// The email address.
    pub email: Option<String>,
    /// The password; without one, the user cannot sign in with a password.
    pub password: Option<String>,
    /// The issuer of the user's tokens; goes with a subject.
    pub issuer: Option<String>,
    /// The id of the user at the issuer.
    pub subject: Option<String>,
    /// The role of the user.
    pub role: Role,
    /// Whether a person or a program uses the account.
    pub kind: UserKind,
    /// The organization of the user.
    pub organization: Option<OrganizationId>,
    /// The location of the user.
    pub location: Option<LocationId>,
    /// The channels that the user becomes a member of.
    pub channels: Vec<ChannelId>,
    /// The idempotency key: a second call with the same key returns the first user.
    pub key: Option<String>,
}

/// A user to create, with texts in the form in which they are stored.
pub(super) struct CheckedAccount {
    pub username: String,
    pub display_name: String,
    pub email: Option<String>,
    /// Empty for a user without a password.
    pub password_hash: String,
    pub identity: Option<ExternalIdentity>,
    pub role: Role,
    pub kind: UserKind,
    pub organization: Option<OrganizationId>,
    pub location: Option<LocationId>,
    pub channels: Vec<ChannelId>,
    pub key: Option<IdempotencyKey>,
    /// The position in the list of the call, for errors.
    place: Option<usize>,
}

impl CheckedAccount {
    /// Checks a new user. `author` is the admin, whose idempotency keys are used.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for an invalid field.
    pub fn new(author: UserId, new: &AccountInput, password: Option<&str>, place: Option<usize>) -> Result<Self> {
        Self::checked(author, new, password, place).map_err(|error| at(place, error))
    }

    fn checked(author: UserId, new: &AccountInput, password: Option<&str>, place: Option<usize>) -> Result<Self> {
        let username = validate::username("username", &new.username, MAX_USERNAME)?;
        let display_name = new.display_name.as_ref().unwrap_or(&new.username);
        let display_name = validate::name("displayName", display_name, MAX_USERNAME * 2)?;
        let email = new.email.as_ref().map(|email| validate::email("email", email)).transpose()?;
        if let Some(password) = password {
            checked_password("password", password, &username)?;
        }
        let identity = identity(new)?;
        let mut channels = new.channels.clone();
        channels.sort_unstable();
        channels.dedup();
        if channels.len() > MAX_CHANNELS {
            return Err(Error::input("channelIds", format!("at most {MAX_CHANNELS} channels are allowed")));
        }
        // The password is left out: a stored digest of it would help to guess it.
        let parts = || {
            let texts = [Some(&username), Some(&display_name), email.as_ref()];
            let identity = identity.as_ref().map(|ExternalIdentity { issuer, subject }| (issuer, subject));
            let rest = (identity, new.role, new.kind, new.organization, new.location, &channels);
            vec![format!("{texts:?}"), format!("{rest:?}")]
        };
        let key = IdempotencyKey::new(author, new.key.as_deref(), parts)?;
        let (role, kind, organization, location) = (new.role, new.kind, new.organization, new.location);
        let password_hash = String::new();
        Ok(Self {
            username,
            display_name,
            email,
            password_hash,
            identity,
            role,
            kind,
            organization,
            location,
            channels,
            key,
            place,
        })
    }

    /// The user that was created with the same idempotency key, if any.
    pub fn created_before<'s>(&self, state: &'s BatchState) -> Result<Option<&'s User>> {
        let Some(key) = &self.key else { return Ok(None) };
        match key.find_result(state).map_err(|error| at(self.place, error))? {
            Some(CreatedObject::User(id)) => state.user(id).map(Some),
            Some(_) => Err(Error::internal("the idempotency key refers to another type of object")),
            None => Ok(None),
        }
    }

    /// Checks what depends on other objects.
    pub fn check(&self, actor: &UserState, state: &BatchState) -> Result<()> {
        self.check_others(actor, state).map_err(|error| at(self.place, error))
    }

    fn check_others(&self, actor: &UserState, state: &BatchState) -> Result<()> {
        check_lookalike_username(state, &self.username)?;
        check_lookalike_display_name(state, &self.display_name)?;
        if self.identity.as_ref().is_some_and(|identity| state.user_of(identity).is_some()) {
            return Err(Error::Conflict("the issuer and the subject belong to another user".into()));
        }
        if self.organization.is_some_and(|id| !state.has_organization(id)) {
            return Err(Error::input("organizationId", "no such organization"));
        }
        if self.location.is_some_and(|id| !state.has_location(id)) {
            return Err(Error::input("locationId", "no such location"));
        }
        self.channels.iter().try_for_each(|id| state.channel(&actor.rights, *id).map(drop))
    }

    /// The row of the user, who is the one after `before` others of the same call.
    pub fn row(&self, before: usize, now: Timestamp) -> NewUserRow {
        let user = User {
            id: UserId(-1 - i64::try_from(before).unwrap_or(i64::MAX - 1)),
            username: self.username.clone(),
            display_name: self.display_name.clone(),
            role: self.role,
            disabled: false,
            token_version: 0,
            organization_id: self.organization,
            location_id: self.location,
            created_at: now,
            last_session: SessionId(0),
            kind: self.kind,
            email: self.email.clone(),
            deleted_at: None,
        };
        NewUserRow {
            user,
            password_hash: self.password_hash.clone(),
            identity: self.identity.clone(),
            profile_at: Timestamp(0),
        }
    }

    /// Stores the idempotency key, if there is one.
    pub fn store_key(&self, effects: &mut Effects, user: UserId) {
        if let Some(key) = &self.key {
            key.store(effects, CreatedObject::User(user));
        }
    }
}

fn identity(new: &AccountInput) -> Result<Option<ExternalIdentity>> {
    let (issuer, subject) = match (&new.issuer, &new.subject) {
        (None, None) => return Ok(None),
        (Some(issuer), Some(subject)) => (issuer, subject),
        (Some(_), None) => return Err(Error::input("subject", "an issuer needs a subject")),
        (None, Some(_)) => return Err(Error::input("issuer", "a subject needs an issuer")),
    };
    for (field, text) in [("issuer", issuer), ("subject", subject)] {
        validate::required(field, text, MAX_IDENTITY_BYTES)?;
        if text.len() > MAX_IDENTITY_BYTES {
            return Err(Error::input(field, format!("{field} has at most {MAX_IDENTITY_BYTES} bytes")));
        }
    }
    Ok(Some(ExternalIdentity { issuer: issuer.clone(), subject: subject.clone() }))
}

/// Checks that the users of one call do not conflict with each other: by names that look alike, identities or keys.
///
/// # Errors
/// `CONFLICT` that names the later one of two users.
pub(super) fn check_distinct(accounts: &[CheckedAccount]) -> Result<()> {
    let mut usernames: HashMap<String, usize> = HashMap::new();
    let (mut identities, mut keys) = (HashMap::new(), HashMap::new());
    let conflict = |index: usize, why: &str| Err(at(accounts[index].place, Error::Conflict(why.into())));
    for (index, account) in accounts.iter().enumerate() {
        if usernames.insert(unicode::skeleton(&account.username), index).is_some() {
            return conflict(index, "the username is the same as, or looks like, that of another user of the list");
        }
        if account.identity.as_ref().is_some_and(|identity| identities.insert(identity, index).is_some()) {
            return conflict(index, "another user of the list has the same issuer and subject");
        }
        if account.key.as_ref().is_some_and(|key| keys.insert(key.name(), index).is_some()) {
            return conflict(index, "another user of the list has the same idempotencyKey");
        }
    }
    for (index, account) in accounts.iter().enumerate() {
        for form in [
            unicode::look(&account.username),
            unicode::skeleton(&account.display_name),
            unicode::look(&account.display_name),
        ] {
            if usernames.get(&form).is_some_and(|other| *other != index) {
                return conflict(index, "a name looks like the username of another user of the list");
            }
        }
    }
    Ok(())
}

/// Adds the position in a list to an error about one of its users.
fn at(place: Option<usize>, error: Error) -> Error {
    let Some(index) = place else { return error };
    match error {
        Error::BadInput { field, message } => Error::input(format!("inputs.{index}.{field}"), message),
        Error::Conflict(message) => Error::Conflict(format!("inputs.{index}: {message}")),
        error => error,
    }
}

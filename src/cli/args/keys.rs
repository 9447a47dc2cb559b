//! The arguments of `tidings key`.

use clap::{Args, Subcommand, ValueEnum};

use super::place::Place;
use crate::model::{ApiKeyId, ApiScope, Timestamp};

/// A command for API keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyCommand {
    /// Creates a key.
    Create(NewKey),
    /// Lists all keys.
    List,
    /// Revokes the key with this id.
    Revoke(ApiKeyId),
}

/// The key to create.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct NewKey {
    /// What the key is for
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The user as whom the key acts [default: the user NAME, which is created if there is none]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// What the key may be used for; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    pub scopes: Vec<KeyScope>,
    /// Limit the key to the channel with this name; may be repeated
    #[arg(long = "channel", value_name = "NAME")]
    pub channels: Vec<String>,
    /// How many mutations the key may make per second [default: as many as a user]
    #[arg(long, value_name = "NUMBER")]
    pub mutations_per_second: Option<u32>,
    /// When the key expires, for example 2027-01-31T00:00:00Z [default: never]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub expires_at: Option<Timestamp>,
}

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyScope {
    /// Queries and subscriptions
    Read,
    /// The mutations of a user who is no admin
    Write,
    /// Publishing events
    Publish,
    /// Everything that the user may do as an admin
    Admin,
}

impl From<KeyScope> for ApiScope {
    fn from(scope: KeyScope) -> Self {
        match scope {
            KeyScope::Read => Self::Read,
            KeyScope::Write => Self::Write,
            KeyScope::Publish => Self::Publish,
            KeyScope::Admin => Self::Admin,
        }
    }
}

/// The commands of `key`. Each declares the flags itself, as those of `user` do.
#[derive(Debug, Subcommand)]
pub(super) enum KeyWord {
    /// Create a key and print its secret, which cannot be shown again
    Create {
        #[command(flatten)]
        key: NewKey,
        #[command(flatten)]
        place: Place,
    },
    /// List all keys
    List(Place),
    /// Revoke a key; its connections end at once
    Revoke {
        /// The id of the key, as `key list` shows it
        #[arg(value_name = "ID")]
        id: ApiKeyId,
        #[command(flatten)]
        place: Place,
    },
}

impl KeyWord {
    pub(super) fn into_parts(self) -> (KeyCommand, Place) {
        match self {
            Self::Create { key, place } => (KeyCommand::Create(key), place),
            Self::List(place) => (KeyCommand::List, place),
            Self::Revoke { id, place } => (KeyCommand::Revoke(id), place),
        }
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| format!("'{text}' is not a time such as 2027-01-31T00:00:00Z"))
}

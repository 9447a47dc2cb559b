//! `tidings key`: the management of API keys on the command line.

use std::fmt::Write as _;
use std::sync::Arc;

use super::args::{KeyCommand, NewKey};
use super::blocking::blocking;
use super::output;
use crate::auth::generate_password;
use crate::board::{Board, NewApiKey, NewUser};
use crate::error::Error;
use crate::model::{ApiKey, ApiKeyId, Role, Timestamp, UserId};

/// Runs `tidings key …`.
///
/// # Errors
/// One line for the operator if the command fails.
pub async fn run(board: Arc<Board>, command: KeyCommand) -> Result<(), String> {
    match command {
        KeyCommand::Create(new) => create(board, new).await,
        KeyCommand::List => list(&board).await,
        KeyCommand::Revoke(id) => revoke(&board, id).await,
    }
}

async fn create(board: Arc<Board>, new: NewKey) -> Result<(), String> {
    let channels = board.channels.named(&new.channels).await.map_err(|error| error.to_string())?;
    let user = match &new.user {
        Some(name) => existing_user(&board, name).await?.ok_or_else(|| format!("there is no user {name}"))?,
        None => match existing_user(&board, &new.name).await? {
            Some(user) => user,
            None => add_user(&board, &new.name).await?,
        },
    };
    let key = NewApiKey {
        name: new.name,
        user,
        scopes: new.scopes.into_iter().map(Into::into).collect(),
        channels: (!channels.is_empty()).then_some(channels),
        mutations_per_second: new.mutations_per_second,
        expires_at: new.expires_at,
    };
    let (key, secret) = board.api_keys.add(key).await.map_err(|error| error.to_string())?;
    let printed = output::print_once(&format!("{secret}\n"));
    printed.map_err(|error| format!("the key {} was created, but its secret could not be shown: {error}", key.id))
}

async fn existing_user(board: &Arc<Board>, name: &str) -> Result<Option<UserId>, String> {
    let (reader, name) = (Arc::clone(board), name.to_owned());
    blocking(move || match reader.accounts.by_username(&name) {
        Ok(user) => Ok(Some(user.id)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    })
    .await
}

/// Creates the user as whom a key acts. The password is thrown away, so only programs with a key act as this user.
async fn add_user(board: &Board, name: &str) -> Result<UserId, String> {
    let new = NewUser { username: name.to_owned(), display_name: name.to_owned(), role: Role::Member };
    let added = board.accounts.add(new, generate_password()).await;
    added.map(|user| user.id).map_err(|error| error.to_string())
}

async fn list(board: &Board) -> Result<(), String> {
    let keys = board.api_keys.all().await.map_err(|error| error.to_string())?;
    let mut list = String::new();
    for key in keys {
        let scopes: Vec<&str> = key.scopes.iter().map(crate::model::ApiScope::name).collect();
        let channels = key.channels.as_ref().map_or_else(
            || "all channels".to_owned(),
            |ids| format!("channels {}", ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
        );
        // Writing to a `String` cannot fail.
        let _: std::fmt::Result = writeln!(
            list,
            "{}\t{}\tuser {}\t{}\t{channels}\t{}\t{}",
            key.id,
            key.name,
            key.user_id,
            scopes.join(","),
            state(&key, Timestamp::now()),
            key.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("last used {}", at.rfc3339())),
        );
    }
    output::print(&list)
}

fn state(key: &ApiKey, now: Timestamp) -> &'static str {
    match key {
        ApiKey { revoked_at: Some(_), .. } => "revoked",
        ApiKey { expires_at: Some(at), .. } if *at <= now => "expired",
        _ => "valid",
    }
}

async fn revoke(board: &Board, id: ApiKeyId) -> Result<(), String> {
    board.api_keys.withdraw(id).await.map(drop).map_err(|error| error.to_string())
}

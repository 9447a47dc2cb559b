//! `tidings user`, `tidings token` and `tidings invite`: the management of accounts on the command line.

use std::fmt::Write as _;
use std::io::Read as _;
use std::sync::Arc;

use super::args::{NewAccount, NewInvitation, UserCommand};
use super::blocking::blocking;
use super::output;
use crate::auth::generate_password;
use crate::board::{Board, NewInvite, NewUser};
use crate::model::{ContentPolicy, Role, Timestamp, User};

/// Runs `tidings user …`.
///
/// # Errors
/// One line for the operator if the command fails.
pub async fn run(board: Arc<Board>, command: UserCommand) -> Result<(), String> {
    match command {
        UserCommand::Add(account) => add(&board, account).await,
        UserCommand::List => list(board).await,
        UserCommand::Disable(name) => set_disabled(board, name, true).await,
        UserCommand::Enable(name) => set_disabled(board, name, false).await,
        UserCommand::Password { name, password_stdin } => set_password(board, name, password_stdin).await,
        UserCommand::Delete { name, erase } => delete(board, name, erase).await,
        UserCommand::ResetLink(name) => reset_link(board, name).await,
    }
}

/// Runs `tidings token NAME`: prints the token and nothing else.
///
/// # Errors
/// One line for the operator if the user does not exist or the token cannot be printed.
pub async fn token(board: Arc<Board>, name: String) -> Result<(), String> {
    let session = blocking(move || board.accounts.token_for(&name)).await?;
    output::print(&format!("{}\n", session.token))
}

/// Runs `tidings invite`: prints the link and nothing else.
///
/// # Errors
/// One line for the operator if the invitation cannot be created or printed.
pub async fn invite(board: Arc<Board>, invitation: NewInvitation) -> Result<(), String> {
    let channels = board.channels.named(&invitation.channels).await.map_err(|error| error.to_string())?;
    let new = NewInvite {
        role: if invitation.admin { Role::Admin } else { Role::Member },
        channels,
        organization: None,
        location: None,
        max_uses: Some(invitation.max_uses),
        expires_at: Some(Timestamp::now().after(invitation.valid_for)),
    };
    let invite = board.invites.create_for_operator(new).await.map_err(|error| error.to_string())?;
    output::print(&format!("{}\n", board.invites.url(&invite)))
}

async fn add(board: &Board, account: NewAccount) -> Result<(), String> {
    let password = if account.password_stdin { read_password()? } else { generate_password() };
    let display_name = account.display_name.unwrap_or_else(|| account.name.clone());
    let role = if account.admin { Role::Admin } else { Role::Member };
    let new = NewUser { username: account.name, display_name, role };
    board.accounts.add(new, password.clone()).await.map_err(|error| error.to_string())?;
    if account.password_stdin {
        return Ok(());
    }
    let printed = output::print_once(&format!("{password}\n"));
    printed.map_err(|error| format!("the account was created, but its password could not be shown: {error}"))
}

fn read_password() -> Result<String, String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| format!("cannot read the password: {error}"))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    Ok(password.strip_suffix('\r').unwrap_or(password).to_owned())
}

async fn list(board: Arc<Board>) -> Result<(), String> {
    let users = blocking(move || board.accounts.all()).await?;
    let mut list = String::new();
    for user in users {
        let role = if user.role == Role::Admin { "admin" } else { "member" };
        let state = if user.disabled { "disabled" } else { "enabled" };
        // Writing to a `String` cannot fail.
        let _: std::fmt::Result =
            writeln!(list, "{}\t{}\t{role}\t{state}\t{}", user.id, user.username, user.display_name);
    }
    output::print(&list)
}

async fn find(board: &Arc<Board>, name: String) -> Result<User, String> {
    let reader = Arc::clone(board);
    blocking(move || reader.accounts.by_username(&name)).await
}

async fn set_password(board: Arc<Board>, name: String, is_from_stdin: bool) -> Result<(), String> {
    let user = find(&board, name).await?;
    let password = if is_from_stdin { read_password()? } else { generate_password() };
    board.accounts.set_password(&user, password.clone()).await.map_err(|error| error.to_string())?;
    if is_from_stdin {
        return Ok(());
    }
    let printed = output::print_once(&format!("{password}\n"));
    printed.map_err(|error| format!("the password was set, but it could not be shown: {error}"))
}

async fn reset_link(board: Arc<Board>, name: String) -> Result<(), String> {
    let user = find(&board, name).await?;
    let link = board.accounts.reset_link(user.id).await.map_err(|error| error.to_string())?;
    output::print(&format!("{}\n", link.url))
}

async fn delete(board: Arc<Board>, name: String, erase: bool) -> Result<(), String> {
    let user = find(&board, name).await?;
    let content = if erase { ContentPolicy::Erase } else { ContentPolicy::Keep };
    board.deletion.delete_for_operator(user.id, content).await.map_err(|error| error.to_string())?;
    // A server that runs would do it within a minute.
    board.remover.remove_deleted_users().await.map_err(|error| error.to_string())
}

async fn set_disabled(board: Arc<Board>, name: String, disabled: bool) -> Result<(), String> {
    let user = find(&board, name).await?;
    board.accounts.set_disabled(None, user.id, disabled).await.map(drop).map_err(|error| error.to_string())
}

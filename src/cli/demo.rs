//! `tidings demo`: fills an empty database with a small organization to try out.

use std::sync::Arc;

use super::blocking::blocking;
use super::output;
use crate::auth::generate_password;
use crate::board::{
    Assignment, Board, NewChannel, NewComment, NewMessage, NewTemplate, NewTicket, NewUser, TicketEdit, Viewer,
};
use crate::error::Result;
use crate::model::{ChannelId, Location, MessageId, Priority, Role, TicketStatus, UserId, Visibility};

/// The users of the demo: username, display name, role.
const USERS: [(&str, &str, Role); 4] = [
    ("ada", "Ada Admin", Role::Admin),
    ("ben", "Ben Baker", Role::Member),
    ("cleo", "Cleo Castell", Role::Member),
    ("dan", "Dan Dahl", Role::Member),
];

/// A user of the demo.
struct DemoUser {
    id: UserId,
    username: &'static str,
    viewer: Viewer,
    token: String,
}

/// Fills an empty database and prints the tokens of its users, one line for each: username, tab, token.
///
/// # Errors
/// One line for the operator if the database has users already, or cannot be written.
pub async fn run(board: Arc<Board>) -> std::result::Result<(), String> {
    let reader = Arc::clone(&board);
    if !blocking(move || reader.accounts.all()).await?.is_empty() {
        return Err("the database is not empty: the demo needs an empty database".into());
    }
    let mut users = Vec::new();
    for (username, display_name, role) in USERS {
        users.push(add_user(&board, username, display_name, role).await?);
    }
    add_content(&board, &users).await.map_err(|error| error.to_string())?;
    let lines: String = users.iter().map(|user| format!("{}\t{}\n", user.username, user.token)).collect();
    output::print(&lines)
}

async fn add_user(
    board: &Arc<Board>,
    username: &'static str,
    display_name: &str,
    role: Role,
) -> std::result::Result<DemoUser, String> {
    let new = NewUser { username: username.into(), display_name: display_name.into(), role };
    let user = board.accounts.add(new, generate_password()).await.map_err(|error| error.to_string())?;
    let issuer = Arc::clone(board);
    let session = blocking(move || issuer.accounts.token_for(username)).await?;
    let (viewer, _) = board.accounts.authenticate(&session.token).await.map_err(|error| error.to_string())?;
    Ok(DemoUser { id: user.id, username, viewer, token: session.token })
}

async fn add_content(board: &Board, users: &[DemoUser]) -> Result<()> {
    let [ada, ben, cleo, dan] = users else { return Ok(()) };
    let (north, south) = add_organization(board, ada, [ben, cleo, dan]).await?;
    let general = channel(board, ben, "general", "What everybody should know", Visibility::Public).await?;
    let support = channel(board, ben, "support", "What customers report", Visibility::Public).await?;
    let team = channel(board, ada, "leads", "For the leads only", Visibility::Private).await?;
    board.channels.add_member(&ada.viewer, team, cleo.id).await?;

    let welcome =
        post(board, ada, general, Some("Welcome"), "This board is live: open it twice and write.", vec![]).await?;
    comment(board, cleo, welcome, "It is! I saw this without a reload.").await?;
    post(board, dan, general, None, "Lunch at noon?", vec![north.id]).await?;
    post(board, ada, team, Some("Plans"), "Budget review on Thursday.", vec![]).await?;

    let broken = ticket(board, ben, support, "Printer on fire", Priority::Urgent, Some(cleo.id)).await?;
    comment(board, cleo, broken, "On my way, with a bucket.").await?;
    board.messages.update(&cleo.viewer, status(broken, TicketStatus::InProgress)).await?;
    ticket(board, dan, support, "Invoices show the wrong year", Priority::High, None).await?;
    let done = ticket(board, cleo, support, "New chairs", Priority::Low, Some(dan.id)).await?;
    board.messages.update(&dan.viewer, status(done, TicketStatus::Resolved)).await?;

    let greeting = "Thank you for writing to us. We look into it and come back to you today.";
    board.templates.create(&ada.viewer, template("Greeting", greeting, vec![])).await?;
    let closing = "We have fixed it. Please write to us if it happens again.";
    board.templates.create(&ben.viewer, template("Closing", closing, vec![south.id])).await?;
    Ok(())
}

async fn add_organization(
    board: &Board,
    ada: &DemoUser,
    [ben, cleo, dan]: [&DemoUser; 3],
) -> Result<(Location, Location)> {
    let bakery = board.organizations.create(&ada.viewer, "The Bakery").await?;
    let north = board.organizations.create_location(&ada.viewer, bakery.id, "North Street").await?;
    let south = board.organizations.create_location(&ada.viewer, bakery.id, "South Street").await?;
    let assign = async |user: &DemoUser, organization, location| {
        let assignment = Assignment { user: user.id, organization, location, role: None };
        board.organizations.assign_user(&ada.viewer, assignment).await.map(drop)
    };
    assign(ben, Some(Some(bakery.id)), None).await?;
    assign(cleo, None, Some(Some(north.id))).await?;
    assign(dan, None, Some(Some(south.id))).await?;
    Ok((north, south))
}

async fn channel(board: &Board, owner: &DemoUser, name: &str, what: &str, visibility: Visibility) -> Result<ChannelId> {
    let new = NewChannel {
        name: name.into(),
        description: Some(what.into()),
        visibility: Some(visibility),
        publishing: None,
    };
    Ok(board.channels.create(&owner.viewer, new).await?.id)
}

async fn post(
    board: &Board,
    author: &DemoUser,
    channel: ChannelId,
    title: Option<&str>,
    content: &str,
    locations: Vec<crate::model::LocationId>,
) -> Result<MessageId> {
    let title = title.map(str::to_owned);
    let new = NewMessage { channel, title, content: content.into(), locations, ticket: None, key: None };
    Ok(board.messages.create(&author.viewer, new).await?.id)
}

async fn ticket(
    board: &Board,
    author: &DemoUser,
    channel: ChannelId,
    title: &str,
    priority: Priority,
    assignee: Option<UserId>,
) -> Result<MessageId> {
    let ticket = Some(NewTicket { priority: Some(priority), assignee });
    let content = format!("{title}: please have a look.");
    let new = NewMessage { channel, title: Some(title.into()), content, locations: vec![], ticket, key: None };
    Ok(board.messages.create(&author.viewer, new).await?.id)
}

async fn comment(board: &Board, author: &DemoUser, message: MessageId, content: &str) -> Result<()> {
    board.comments.create(&author.viewer, NewComment { message, content: content.into(), key: None }).await.map(drop)
}

fn status(id: MessageId, status: TicketStatus) -> crate::board::MessageEdit {
    let ticket = Some(TicketEdit { status: Some(status), ..TicketEdit::default() });
    crate::board::MessageEdit { id, title: None, content: None, ticket, if_cursor: None }
}

fn template(name: &str, content: &str, locations: Vec<crate::model::LocationId>) -> NewTemplate {
    NewTemplate { name: name.into(), content: content.into(), locations }
}

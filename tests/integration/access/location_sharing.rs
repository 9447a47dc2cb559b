//! Messages and templates that are shared with locations: who receives them, and for whom they do not exist.

use serde_json::json;

use crate::support::{Server, Session, Socket, text};

/// A user with subscriptions, and whether it must receive what ZOWI shares with Harbour.
struct Listener {
    name: &'static str,
    socket: Socket,
    gets: bool,
}

/// ZOWI shares with the location Harbour of the organization Coast.
///
/// | user | location | organization | receives it |
/// | --- | --- | --- | --- |
/// | ZOWI, twice | Harbour | Coast | no: it is the author |
/// | ZOLO | Harbour | none | yes: the location matches |
/// | ZEWI | none | Coast | yes: the organization has the location |
/// | ZELO | Harbour | Coast | yes: both |
/// | ZUWI | Summit | Mountains | no: neither |
/// | ZULO | none | none | no: neither |
#[tokio::test]
async fn content_shared_with_a_location_reaches_its_users_except_the_author() {
    let server = Server::start().await;
    let admin = server.admin("root").await;
    let coast = organization(&server, &admin, "Coast").await;
    let harbour = location(&server, &admin, &coast, "Harbour").await;
    let mountains = organization(&server, &admin, "Mountains").await;
    let summit = location(&server, &admin, &mountains, "Summit").await;
    let zowi = assigned_user(&server, &admin, "ZOWI", Some(&coast), Some(&harbour)).await;
    let channel = server.channel(&zowi, "news").await;
    let mut listeners = Vec::new();
    for _ in 0..2 {
        let socket = subscribe(&server, &zowi).await;
        listeners.push(Listener { name: "ZOWI", socket, gets: false });
    }
    for (name, organization, location, gets) in [
        ("ZOLO", None, Some(&harbour), true),
        ("ZEWI", Some(&coast), None, true),
        ("ZELO", Some(&coast), Some(&harbour), true),
        ("ZUWI", Some(&mountains), Some(&summit), false),
        ("ZULO", None, None, false),
    ] {
        let user = assigned_user(&server, &admin, name, organization, location).await;
        listeners.push(Listener { name, socket: subscribe(&server, &user).await, gets });
    }
    let share = "mutation ($at: [ID!]!, $channel: ID!) {
        addTemplate(input: { name: \"Hello\", content: \"Hello there\", shareLocationIds: $at }) { id }
        createMessage(input: { channelId: $channel, content: \"for Harbour\", shareLocationIds: $at }) { id } }";
    server.data(Some(&zowi), share, json!({"at": [harbour], "channel": channel})).await;
    // Every listener receives this message. So an event that did not come before it does not come at all.
    server.post(&admin, &channel, "for all").await;
    for Listener { name, socket, gets } in &mut listeners {
        if *gets {
            // The two subscriptions are independent, so their items may come in either order.
            let mut seen = [(socket.frame().await), (socket.frame().await)].map(|frame| text(&frame["id"]));
            seen.sort();
            assert_eq!(seen, ["messages", "templates"], "{name}");
        }
        assert_eq!(socket.item("messages").await["messageAdded"]["content"], "for all", "{name}");
        socket.assert_idle().await;
    }
}

/// For other users, shared content is absent from lists, lookups by id and replays.
#[tokio::test]
async fn content_for_another_location_is_not_found() {
    let server = Server::start().await;
    let admin = server.admin("root").await;
    let coast = organization(&server, &admin, "Coast").await;
    let harbour = location(&server, &admin, &coast, "Harbour").await;
    let (author, reader) = (server.register("author").await, server.register("reader").await);
    let channel = server.channel(&author, "news").await;
    let before = server.cursor(Some(&reader)).await;
    let create = "mutation ($channel: ID!, $at: [ID!]) { createMessage(input: {
        channelId: $channel, content: \"for Harbour\", shareLocationIds: $at, ticket: {} }) { id } }";
    let created = server.data(Some(&author), create, json!({"channel": channel, "at": [harbour]})).await;
    let message = text(&created["createMessage"]["id"]);
    let comment = "mutation ($id: ID!) { createComment(input: { messageId: $id, content: \"hidden\" }) { id } }";
    let created = server.data(Some(&author), comment, json!({"id": message})).await;
    let comment_id = text(&created["createComment"]["id"]);
    let edit = "mutation ($id: ID!) { updateMessage(input: { id: $id, ticket: { status: CLOSED } }) { id } }";
    server.data(Some(&author), edit, json!({"id": message})).await;

    for outsider in [Some(&reader), None] {
        let seen = "query ($id: ID!) { message(id: $id) { id } messages { nodes { id } }
            channel(name: \"news\") { messages { nodes { id } } } }";
        let seen = server.data(outsider, seen, json!({"id": message})).await;
        let nothing = json!({"message": null, "messages": {"nodes": []}, "channel": {"messages": {"nodes": []}}});
        assert_eq!(seen, nothing);
        let mut socket = server.socket(outsider).await;
        let events = "subscription ($after: Cursor) { events(after: $after) { __typename } }";
        socket.subscribe("all", events, json!({"after": before})).await;
        assert_eq!(
            socket.item("all").await["events"]["__typename"],
            "Checkpoint",
            "a replay omits the message and its changes"
        );
        socket
            .subscribe("one", "subscription ($id: ID!) { commentAdded(messageId: $id) { id } }", json!({"id": message}))
            .await;
        assert_eq!(socket.error_code("one").await, "NOT_FOUND");
    }
    for (mutation, id) in [
        (edit, &message),
        (comment, &message),
        ("mutation ($id: ID!) { deleteMessage(id: $id) }", &message),
        ("mutation ($id: ID!) { deleteComment(id: $id) }", &comment_id),
    ] {
        assert_eq!(server.error_code(Some(&reader), mutation, json!({"id": id})).await, "NOT_FOUND", "{mutation}");
    }
    // A user who is assigned to the location now may replay earlier content of it.
    assign(&server, &admin, &reader, None, Some(&harbour)).await;
    let mut socket = server.socket(Some(&reader)).await;
    let events = "subscription ($after: Cursor) { events(after: $after) { __typename } }";
    socket.subscribe("all", events, json!({"after": before})).await;
    for kind in ["MessageAdded", "CommentAdded", "MessageUpdated", "AccessChanged", "Checkpoint"] {
        assert_eq!(socket.item("all").await["events"]["__typename"], kind);
    }
}

#[tokio::test]
async fn a_removed_member_gets_no_events_live_or_in_a_replay() {
    let server = Server::start().await;
    let (owner, member) = (server.register("owner").await, server.register("member").await);
    let make = "mutation { createChannel(input: { name: \"secret\", visibility: PRIVATE }) { id } }";
    let channel = text(&server.data(Some(&owner), make, json!({})).await["createChannel"]["id"]);
    let add = "mutation ($c: ID!, $u: ID!) { addMember(channelId: $c, userId: $u) { members { nodes { username } } } }";
    let remove = "mutation ($c: ID!, $u: ID!) { removeMember(channelId: $c, userId: $u) { id } }";
    let membership = json!({"c": channel, "u": member.id});
    let before = server.cursor(Some(&member)).await;
    server.post(&owner, &channel, "before they came").await;

    let added = "subscription ($c: ID, $after: Cursor) { messageAdded(channelId: $c, after: $after) { content } }";
    let events = "subscription ($after: Cursor) { events(after: $after) { __typename
        ... on AccessChanged { changedChannelId } ... on MessageAdded { message { content } } } }";
    let mut socket = server.socket(Some(&member)).await;
    socket.subscribe("early", added, json!({"c": channel})).await;
    assert_eq!(socket.error_code("early").await, "NOT_FOUND", "an unreadable channel is reported as not found");
    assert_eq!(server.error_code(Some(&member), add, membership.clone()).await, "NOT_FOUND");

    let members = server.data(Some(&owner), add, membership.clone()).await;
    assert_eq!(members["addMember"]["members"]["nodes"], json!([{"username": "member"}, {"username": "owner"}]));
    socket.subscribe("room", added, json!({"c": channel, "after": before})).await;
    assert_eq!(
        socket.item("room").await["messageAdded"]["content"],
        "before they came",
        "a new member may replay earlier messages"
    );
    socket.subscribe("all", events, json!({})).await;
    assert_eq!(socket.item("all").await["events"]["__typename"], "Checkpoint");

    server.data(Some(&owner), remove, membership.clone()).await;
    server.post(&owner, &channel, "after they left").await;
    let mut ended = [socket.frame().await, socket.frame().await];
    ended.sort_by_key(|frame| text(&frame["id"]));
    assert_eq!(
        ended[0]["payload"]["data"]["events"],
        json!({"__typename": "AccessChanged", "changedChannelId": channel})
    );
    assert_eq!((&ended[1]["type"], &ended[1]["id"]), (&json!("error"), &json!("room")));
    assert_eq!(ended[1]["payload"][0]["extensions"]["code"], "FORBIDDEN");
    socket.assert_idle().await;
    // The socket stays open, but a replay from before the removal shows nothing of the channel.
    socket.send(json!({"type": "complete", "id": "all"})).await;
    socket.subscribe("again", events, json!({"after": before})).await;
    for kind in ["AccessChanged", "AccessChanged", "Checkpoint"] {
        assert_eq!(socket.item("again").await["events"]["__typename"], kind);
    }
    assert_eq!(
        server.data(Some(&member), "{ channels { nodes { id } } messages { nodes { id } } }", json!({})).await,
        json!({"channels": {"nodes": []}, "messages": {"nodes": []}})
    );
}

#[tokio::test]
async fn the_deletion_of_a_private_channel_is_replayed_only_to_its_members() {
    let server = Server::start().await;
    let (owner, outsider) = (server.register("owner").await, server.register("stranger").await);
    let make = "mutation { createChannel(input: { name: \"secret\", visibility: PRIVATE }) { id } }";
    let channel = text(&server.data(Some(&owner), make, json!({})).await["createChannel"]["id"]);
    let before = server.cursor(Some(&owner)).await;
    server.data(Some(&owner), "mutation ($id: ID!) { deleteChannel(id: $id) }", json!({"id": channel})).await;
    let events = "subscription ($after: Cursor) { events(after: $after) { __typename } }";
    for (reader, kinds) in [
        (Some(&owner), &["ChannelDeleted", "Checkpoint"][..]),
        (Some(&outsider), &["Checkpoint"]),
        (None, &["Checkpoint"]),
    ] {
        let mut socket = server.socket(reader).await;
        socket.subscribe("e", events, json!({"after": before})).await;
        for kind in kinds {
            assert_eq!(socket.item("e").await["events"]["__typename"], *kind);
        }
    }
}

async fn organization(server: &Server, admin: &Session, name: &str) -> String {
    let make = "mutation ($name: String!) { createOrganization(input: { name: $name }) { id } }";
    text(&server.data(Some(admin), make, json!({"name": name})).await["createOrganization"]["id"])
}

async fn location(server: &Server, admin: &Session, organization: &str, name: &str) -> String {
    let make =
        "mutation ($of: ID!, $name: String!) { createLocation(input: { organizationId: $of, name: $name }) { id } }";
    text(&server.data(Some(admin), make, json!({"of": organization, "name": name})).await["createLocation"]["id"])
}

async fn assign(
    server: &Server,
    admin: &Session,
    user: &Session,
    organization: Option<&String>,
    location: Option<&String>,
) {
    let assign = "mutation ($input: AssignUserInput!) { assignUser(input: $input) { id } }";
    let input = json!({"userId": user.id, "organizationId": organization, "locationId": location});
    server.data(Some(admin), assign, json!({"input": input})).await;
}

async fn assigned_user(
    server: &Server,
    admin: &Session,
    name: &str,
    organization: Option<&String>,
    location: Option<&String>,
) -> Session {
    let user = server.register(name).await;
    assign(server, admin, &user, organization, location).await;
    user
}

async fn subscribe(server: &Server, user: &Session) -> Socket {
    let after = server.cursor(Some(user)).await;
    let mut socket = server.socket(Some(user)).await;
    let templates = "subscription ($after: Cursor) { templateAdded(after: $after) { name } }";
    let messages = "subscription ($after: Cursor) { messageAdded(excludeOwn: true, after: $after) { content } }";
    socket.subscribe("templates", templates, json!({"after": after})).await;
    socket.subscribe("messages", messages, json!({"after": after})).await;
    socket
}

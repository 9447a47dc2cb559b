//! Tickets can be assigned only to enabled users who may see them.

use serde_json::{Value, json};

use crate::support::{Server, Session, text};

const CREATE: &str = "mutation ($i: CreateMessageInput!) { createMessage(input: $i) { id ticket { assigneeId } } }";
const UPDATE: &str = "mutation ($i: UpdateMessageInput!) { updateMessage(input: $i) { ticket { assigneeId status } } }";

async fn assert_rejected(server: &Server, by: &Session, document: &str, input: Value) {
    let response = server.execute(Some(by), document, json!({"i": input})).await;
    let shown = &response["errors"][0]["extensions"];
    assert_eq!(shown, &json!({"code": "BAD_USER_INPUT", "field": "assigneeId"}), "{input} {response}");
}

#[tokio::test]
async fn users_who_cannot_see_a_ticket_or_are_disabled_cannot_be_assigned() {
    let server = Server::start().await;
    let (ann, bob, cleo) = (server.register("ann").await, server.register("bob").await, server.register("cleo").await);
    let root = server.admin("root").await;
    let make = "mutation { createChannel(input: { name: \"board\", visibility: PRIVATE }) { id } }";
    let channel = text(&server.data(Some(&ann), make, json!({})).await["createChannel"]["id"]);
    let ticket = |id: &str| json!({"channelId": channel, "content": "x", "ticket": {"assigneeId": id}});
    let assign = |message: &str, id: &str| json!({"id": message, "ticket": {"assigneeId": id}});

    assert_rejected(&server, &ann, CREATE, ticket(&bob.id)).await;
    assert_rejected(&server, &ann, CREATE, ticket("9999")).await;
    let created = server.data(Some(&ann), CREATE, json!({"i": ticket(&ann.id)})).await;
    let message = text(&created["createMessage"]["id"]);
    assert_rejected(&server, &ann, UPDATE, assign(&message, &bob.id)).await;
    server.data(Some(&ann), CREATE, json!({"i": ticket(&root.id)})).await;

    let add = "mutation ($c: ID!, $u: ID!) { addMember(channelId: $c, userId: $u) { id } }";
    for user in [&bob, &cleo] {
        server.data(Some(&ann), add, json!({"c": channel, "u": user.id})).await;
    }
    server.data(Some(&ann), UPDATE, json!({"i": assign(&message, &bob.id)})).await;
    let disable = "mutation ($u: ID!) { setUserDisabled(userId: $u, disabled: true) { id } }";
    server.data(Some(&root), disable, json!({"u": cleo.id})).await;
    assert_rejected(&server, &ann, CREATE, ticket(&cleo.id)).await;
    assert_rejected(&server, &ann, UPDATE, assign(&message, &cleo.id)).await;

    // An assignee who could see the ticket at the time stays assigned, and the rest of the ticket can be changed.
    let remove = "mutation ($c: ID!, $u: ID!) { removeMember(channelId: $c, userId: $u) { id } }";
    server.data(Some(&ann), remove, json!({"c": channel, "u": bob.id})).await;
    let input = json!({"id": message, "ticket": {"assigneeId": bob.id, "status": "CLOSED"}});
    let kept = server.data(Some(&ann), UPDATE, json!({"i": input})).await;
    assert_eq!(kept["updateMessage"]["ticket"], json!({"assigneeId": bob.id, "status": "CLOSED"}));
    server.data(Some(&ann), UPDATE, json!({"i": {"id": message, "ticket": {"assigneeId": null}}})).await;
    assert_rejected(&server, &ann, UPDATE, assign(&message, &bob.id)).await;
}

#[tokio::test]
async fn a_ticket_for_one_location_cannot_be_assigned_to_another_location() {
    let server = Server::start().await;
    let (ann, bob) = (server.register("ann").await, server.register("bob").await);
    let root = server.admin("root").await;
    let channel = server.channel(&ann, "general").await;
    let make = "mutation { createOrganization(input: { name: \"house\" }) { id } }";
    let house = text(&server.data(Some(&root), make, json!({})).await["createOrganization"]["id"]);
    let make = "mutation ($o: ID!, $n: String!) { createLocation(input: { organizationId: $o, name: $n }) { id } }";
    let mut locations = Vec::new();
    for name in ["north", "south"] {
        let created = server.data(Some(&root), make, json!({"o": house, "n": name})).await;
        locations.push(text(&created["createLocation"]["id"]));
    }
    let place = "mutation ($u: ID!, $l: ID!) { assignUser(input: { userId: $u, locationId: $l }) { id } }";
    server.data(Some(&root), place, json!({"u": bob.id, "l": locations[1]})).await;
    let ticket = |user: &str, location: &str| json!({"channelId": channel, "content": "x", "shareLocationIds": [location], "ticket": {"assigneeId": user}});
    assert_rejected(&server, &ann, CREATE, ticket(&bob.id, &locations[0])).await;
    server.data(Some(&ann), CREATE, json!({"i": ticket(&bob.id, &locations[1])})).await;
    server.data(Some(&ann), CREATE, json!({"i": ticket(&ann.id, &locations[0])})).await;
}

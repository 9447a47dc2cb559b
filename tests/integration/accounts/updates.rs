//! Fields that an update omits stay unchanged; `null` for a required field is rejected with an error that names it.

use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn null_for_a_required_field_is_rejected_with_the_name_of_the_field() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let channel = server.channel(&root, "general").await;
    let message = server.post(&root, &channel, "text").await;
    let channels = "mutation ($i: UpdateChannelInput!) { updateChannel(input: $i) { id } }";
    let messages = "mutation ($i: UpdateMessageInput!) { updateMessage(input: $i) { id } }";
    let users = "mutation ($i: AssignUserInput!) { assignUser(input: $i) { id } }";
    for (document, input, field) in [
        (channels, json!({"id": channel, "name": null}), "name"),
        (channels, json!({"id": channel, "visibility": null}), "visibility"),
        (messages, json!({"id": message, "content": null}), "content"),
        (messages, json!({"id": message, "ticket": null}), "ticket"),
        (messages, json!({"id": message, "ticket": {"status": null}}), "status"),
        (messages, json!({"id": message, "ticket": {"priority": null}}), "priority"),
        (users, json!({"userId": root.id, "role": null}), "role"),
    ] {
        let response = server.execute(Some(&root), document, json!({"i": input})).await;
        let error = &response["errors"][0];
        assert_eq!(error["extensions"], json!({"code": "BAD_USER_INPUT", "field": field}), "{input} {response}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains("must not be null")), "{error}");
    }
    for (document, input) in [
        (channels, json!({"id": channel, "description": null})),
        (messages, json!({"id": message, "title": null, "ticket": {"assigneeId": null}, "ifCursor": null})),
        (users, json!({"userId": root.id, "organizationId": null, "locationId": null})),
        (channels, json!({"id": channel})),
    ] {
        server.data(Some(&root), document, json!({"i": input})).await;
    }
    let literal = "mutation { updateChannel(input: { id: \"1\", name: null }) { id } }";
    assert_eq!(server.error_code(Some(&root), literal, json!({})).await, "BAD_USER_INPUT");
}

#[tokio::test]
async fn an_invalid_id_is_rejected_with_an_explanation() {
    let server = Server::start().await;
    let response = server.execute(None, "{ message(id: \"abc\") { id } }", json!({})).await;
    assert_eq!(response["errors"][0]["message"], "id must be an id: a whole decimal number", "{response}");
}

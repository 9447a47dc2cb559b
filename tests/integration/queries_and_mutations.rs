//! Queries and mutations on channels, messages and comments.

use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn a_user_posts_edits_comments_and_deletes() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let create = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) {
        id title content authorId author { username } channel { name } ticket { status priority assigneeId }
        createdAt updatedAt cursor commentCount shareLocationIds } }";
    let input = json!({"channelId": channel, "title": "Printer", "content": "It burns",
        "ticket": {"priority": "URGENT", "assigneeId": ann.id}});
    let message = &server.data(Some(&ann), create, json!({"input": input})).await["createMessage"];
    assert_eq!(message["ticket"], json!({"status": "OPEN", "priority": "URGENT", "assigneeId": ann.id}));
    assert_eq!(message["author"]["username"], "ann");
    assert_eq!(message["channel"]["name"], "general");

    let update = "mutation ($input: UpdateMessageInput!) { updateMessage(input: $input) {
        title content ticket { status assigneeId } cursor } }";
    let input = json!({"id": message["id"], "title": null, "ticket": {"status": "RESOLVED", "assigneeId": null}});
    let updated = &server.data(Some(&ann), update, json!({"input": input})).await["updateMessage"];
    assert_eq!(updated["title"], json!(null), "an explicit null removes the title");
    assert_eq!(updated["content"], "It burns", "an omitted field stays unchanged");
    assert_eq!(updated["ticket"], json!({"status": "RESOLVED", "assigneeId": null}));
    assert_ne!(updated["cursor"], message["cursor"]);

    let input = json!({"id": message["id"], "content": "late", "ifCursor": message["cursor"]});
    assert_eq!(server.error_code(Some(&ann), update, json!({"input": input})).await, "CONFLICT");
    let input = json!({"id": message["id"], "content": "in time", "ifCursor": updated["cursor"]});
    server.data(Some(&ann), update, json!({"input": input})).await;

    let comment = "mutation ($input: CreateCommentInput!) { createComment(input: $input) { id messageId content } }";
    let input = json!({"messageId": message["id"], "content": "A bucket!"});
    let created = &server.data(Some(&ann), comment, json!({"input": input})).await["createComment"];
    let seen = "query ($id: ID!) { message(id: $id) { content commentCount comments { nodes { id content } } } }";
    let shown = server.data(None, seen, json!({"id": message["id"]})).await;
    assert_eq!(
        shown["message"],
        json!({"content": "in time", "commentCount": 1,
            "comments": {"nodes": [{"id": created["id"], "content": "A bucket!"}]}})
    );
    let delete = "mutation ($id: ID!) { deleteMessage(id: $id) }";
    server.data(Some(&ann), delete, json!({"id": message["id"]})).await;
    assert_eq!(server.data(None, seen, json!({"id": message["id"]})).await["message"], json!(null));
    assert_eq!(server.error_code(Some(&ann), delete, json!({"id": message["id"]})).await, "NOT_FOUND");
}

#[tokio::test]
async fn the_same_idempotency_key_returns_the_first_result() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let create = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id content } }";
    let input = json!({"channelId": channel, "content": "once", "idempotencyKey": "k1"});
    let first = server.data(Some(&ann), create, json!({"input": input})).await;
    let again = server.data(Some(&ann), create, json!({"input": input})).await;
    assert_eq!(first, again);
    let other = json!({"channelId": channel, "content": "twice", "idempotencyKey": "k1"});
    assert_eq!(server.error_code(Some(&ann), create, json!({"input": other})).await, "CONFLICT");
    let ben = server.register("ben").await;
    let theirs = server.data(Some(&ben), create, json!({"input": other})).await;
    assert_ne!(
        theirs["createMessage"]["id"], first["createMessage"]["id"],
        "idempotency keys are separate for each author"
    );
    let all = server.data(None, "{ messages { nodes { content } } }", json!({})).await;
    assert_eq!(all["messages"]["nodes"], json!([{"content": "twice"}, {"content": "once"}]));
}

#[tokio::test]
async fn lists_are_paged_forwards_and_backwards() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    for number in 1..=5 {
        server.post(&ann, &channel, &number.to_string()).await;
    }
    let list = "query ($first: Int, $after: String, $last: Int, $before: String) {
        messages(first: $first, after: $after, last: $last, before: $before) {
            nodes { content } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
    let contents = |page: &serde_json::Value| -> Vec<String> {
        page["nodes"].as_array().expect("nodes").iter().map(|node| node["content"].as_str().unwrap().into()).collect()
    };
    let first = &server.data(None, list, json!({"first": 2})).await["messages"];
    assert_eq!(contents(first), ["5", "4"]);
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    assert_eq!(first["pageInfo"]["hasPreviousPage"], false);
    let second =
        &server.data(None, list, json!({"first": 2, "after": first["pageInfo"]["endCursor"]})).await["messages"];
    assert_eq!(contents(second), ["3", "2"]);
    let third =
        &server.data(None, list, json!({"first": 2, "after": second["pageInfo"]["endCursor"]})).await["messages"];
    assert_eq!(contents(third), ["1"]);
    assert_eq!(third["pageInfo"]["hasNextPage"], false);
    let last = &server.data(None, list, json!({"last": 2})).await["messages"];
    assert_eq!(contents(last), ["2", "1"]);
    let before =
        &server.data(None, list, json!({"last": 2, "before": last["pageInfo"]["startCursor"]})).await["messages"];
    assert_eq!(contents(before), ["4", "3"]);
}

/// Each field is committed and rendered before the next one begins, even if rendering needs the database.
#[tokio::test]
async fn mutation_fields_are_executed_in_order() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let mutation = "mutation ($c: ID!) {
        first: createMessage(input: { channelId: $c, content: \"one\" }) { content channel { name } }
        renamed: updateChannel(input: { id: $c, name: \"special\" }) { name }
        refused: deleteMessage(id: \"9999\")
        second: createMessage(input: { channelId: $c, content: \"two\" }) { content channel { name } author { username } }
        nothing: createMessage(input: { channelId: $c, content: \"three\" }) @skip(if: true) { id } }";
    let answer = server.execute(Some(&ann), mutation, json!({"c": channel})).await;
    // An error in a non-null field makes `data` null. Earlier fields stay committed, later ones are not executed.
    assert_eq!(answer["errors"][0]["path"], json!(["refused"]));
    let list = "{ messages(first: 9) { nodes { content channel { name } } } }";
    let shown = server.data(None, list, json!({})).await;
    let contents: Vec<_> = shown["messages"]["nodes"].as_array().expect("a list").iter().collect();
    assert_eq!(contents.len(), 1, "{shown}");
    let without = mutation.replace("refused: deleteMessage(id: \"9999\")", "").replace("special", "again");
    let data = server.data(Some(&ann), &without, json!({"c": channel})).await;
    assert_eq!(
        data,
        json!({
            "first": {"content": "one", "channel": {"name": "special"}},
            "renamed": {"name": "again"},
            "second": {"content": "two", "channel": {"name": "again"}, "author": {"username": "ann"}},
        })
    );
    let skipped = "mutation { createMessage(input: { channelId: \"1\", content: \"no\" }) @skip(if: true) { id } }";
    assert_eq!(server.data(Some(&ann), skipped, json!({})).await, json!({}));
}

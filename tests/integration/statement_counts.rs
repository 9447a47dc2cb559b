//! The number of SQL statements of a query does not depend on the length of its lists.

use serde_json::json;

use crate::support::{Server, Session};

#[tokio::test]
async fn the_number_of_statements_does_not_depend_on_the_length_of_lists() {
    let server = Server::start().await;
    let query = "query ($first: Int!) { messages(first: $first) { nodes {
        id content author { username organization { name } } channel { name unreadCount owner { username } }
        ticket { assignee { username } } commentCount } } }";
    let mut reader = None;
    for number in 0..12 {
        let author = server.register(&format!("user{number}")).await;
        let channel = server.channel(&author, &format!("channel{number}")).await;
        let create = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id } }";
        let input = json!({"channelId": channel, "content": "text", "ticket": {"assigneeId": author.id}});
        let message = server.data(Some(&author), create, json!({"input": input})).await;
        let comment = "mutation ($id: ID!) { createComment(input: { messageId: $id, content: \"text\" }) { id } }";
        server.data(Some(&author), comment, json!({"id": message["createMessage"]["id"]})).await;
        reader = Some(author);
    }
    let (short, long) =
        (count(&server, reader.as_ref(), query, 2).await, count(&server, reader.as_ref(), query, 12).await);
    println!("statements for 2 messages: {short}, for 12: {long}");
    assert_eq!(short, long);
    // One of the statements finds the limit up to which a list reads message by message.
    assert!(long <= 15, "{long} statements");
}

/// The number of statements of a list of this length. It is the minimum of five attempts, because background tasks
/// execute statements, too.
async fn count(server: &Server, reader: Option<&Session>, query: &str, first: usize) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..5 {
        let before = server.board().store().statements();
        let data = server.data(reader, query, json!({"first": first})).await;
        assert_eq!(data["messages"]["nodes"].as_array().expect("nodes").len(), first);
        least = least.min(server.board().store().statements() - before);
    }
    least
}

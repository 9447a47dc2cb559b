//! Long lists cost as many SQL statements as short ones.

use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn the_number_of_statements_does_not_depend_on_the_length_of_lists() {
    let server = Server::start().await;
    let query = "query ($first: Int!) { messages(first: $first) { nodes {
        id content author { username organization { name } } channel { name owner { username } }
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
    let count = |first: i32| {
        let (server, reader) = (&server, &reader);
        async move {
            let before = server.board().store().statements();
            let data = server.data(reader.as_ref(), query, json!({"first": first})).await;
            assert_eq!(data["messages"]["nodes"].as_array().expect("nodes").len(), usize::try_from(first).unwrap());
            server.board().store().statements() - before
        }
    };
    count(1).await;
    let (short, long) = (count(2).await, count(12).await);
    println!("statements for 2 messages: {short}, for 12: {long}");
    assert_eq!(short, long);
    assert!(long <= 12, "{long} statements");
}

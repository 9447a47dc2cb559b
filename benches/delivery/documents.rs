//! What is said to every server, word for word the same: the GraphQL documents and the text of message n.

/// The document every subscriber runs.
pub const SUBSCRIPTION: &str = "subscription { messageAdded { id title content authorId createdAt } }";
/// The fields each delivery must have.
pub const FIELDS: [&str; 5] = ["id", "title", "content", "authorId", "createdAt"];
/// Characters of `content`.
pub const CONTENT: usize = 128;

/// The same for who was here before.
const RESUMPTION: &str =
    "subscription($after: Cursor) { messageAdded(after: $after) { id title content authorId createdAt } }";
const MUTATION: &str = "mutation($input: CreateMessageInput!) { createMessage(input: $input) { id } }";
const QUERY: &str = "{ messages(first: 20) { nodes { id title content authorId createdAt } } }";
/// Digits at the head of `content` that carry the message's number.
const DIGITS: usize = 10;

/// The text of message `number`: its number, then filler.
pub fn content(number: u64) -> String {
    let mut text = format!("{number:0DIGITS$} ");
    let filler = ('a'..='z').cycle().take(CONTENT - text.len());
    text.extend(filler);
    text
}

/// The number of a message, if its text is whole.
pub fn number_in(text: &str) -> Option<u64> {
    let number = text.get(..DIGITS)?.parse().ok()?;
    (text == content(number)).then_some(number)
}

/// The HTTP body that publishes message `number`. Nothing in it needs escaping.
pub fn publish(channel: &str, number: u64) -> String {
    format!(
        r#"{{"query":"{MUTATION}","variables":{{"input":{{"channelId":"{channel}","title":"bench","content":"{}"}}}}}}"#,
        content(number)
    )
}

/// The HTTP body that reads the newest 20 messages.
pub fn read() -> String {
    format!(r#"{{"query":"{QUERY}"}}"#)
}

/// The first frame of a subscriber.
pub fn connection_init(token: Option<&str>) -> String {
    match token {
        Some(token) => {
            format!(r#"{{"type":"connection_init","payload":{{"authorization":"Bearer {token}"}}}}"#)
        }
        None => r#"{"type":"connection_init"}"#.to_owned(),
    }
}

/// The frame that starts the subscription.
pub fn subscribe() -> String {
    format!(r#"{{"id":"1","type":"subscribe","payload":{{"query":"{SUBSCRIPTION}"}}}}"#)
}

/// The frame that goes on with the subscription behind a cursor.
pub fn resume(cursor: &str) -> String {
    format!(
        r#"{{"id":"1","type":"subscribe","payload":{{"query":"{RESUMPTION}","variables":{{"after":"{cursor}"}}}}}}"#
    )
}

/// The HTTP body that makes another channel.
pub fn make_channel(number: u64) -> String {
    format!(
        r#"{{"query":"mutation($name: String!) {{ createChannel(input: {{ name: $name }}) {{ id }} }}","variables":{{"name":"other {number}"}}}}"#
    )
}

/// The id in such an answer.
pub fn id_in(answer: &str) -> Option<String> {
    let (_, rest) = answer.split_once(r#""id":""#)?;
    rest.split_once('"').map(|(id, _)| id.to_owned())
}

/// The frame that follows one channel.
pub fn follow_channel(id: usize, channel: &str) -> String {
    format!(
        r#"{{"id":"{id}","type":"subscribe","payload":{{"query":"subscription($c: ID) {{ messageAdded(channelId: $c) {{ id }} }}","variables":{{"c":"{channel}"}}}}}}"#
    )
}

//! The requests that every server gets, identical for all: the GraphQL documents and the text of message n.

/// The GraphQL document of the subscription that each subscriber opens.
pub const SUBSCRIPTION: &str = "subscription { messageAdded { id title content authorId createdAt } }";
/// The fields that each delivery must have.
pub const FIELDS: [&str; 5] = ["id", "title", "content", "authorId", "createdAt"];
/// The number of characters of `content`.
pub const CONTENT: usize = 128;

/// The document of a subscriber that resumes at a cursor.
const RESUMPTION: &str =
    "subscription($after: Cursor) { messageAdded(after: $after) { id title content authorId createdAt } }";
const MUTATION: &str = "mutation($input: CreateMessageInput!) { createMessage(input: $input) { id } }";
const QUERY: &str = "{ messages(first: 20) { nodes { id title content authorId createdAt } } }";
/// The number of digits at the beginning of `content` that hold the message's number.
const DIGITS: usize = 10;

/// The text of message `number`: its number, then filler.
pub fn content(number: u64) -> String {
    let mut text = format!("{number:0DIGITS$} ");
    let filler = ('a'..='z').cycle().take(CONTENT - text.len());
    text.extend(filler);
    text
}

/// The number of a message, if its text is complete.
pub fn number_in(text: &str) -> Option<u64> {
    let number = text.get(..DIGITS)?.parse().ok()?;
    (text == content(number)).then_some(number)
}

/// The HTTP body that publishes message `number`. Its values need no JSON escaping.
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

/// The frame that resumes the subscription at a cursor.
pub fn resume(cursor: &str) -> String {
    format!(
        r#"{{"id":"1","type":"subscribe","payload":{{"query":"{RESUMPTION}","variables":{{"after":"{cursor}"}}}}}}"#
    )
}

/// The HTTP body that creates another channel.
pub fn make_channel(number: u64) -> String {
    format!(
        r#"{{"query":"mutation($name: String!) {{ createChannel(input: {{ name: $name }}) {{ id }} }}","variables":{{"name":"other {number}"}}}}"#
    )
}

/// The first id in a response.
pub fn id_in(answer: &str) -> Option<String> {
    let (_, rest) = answer.split_once(r#""id":""#)?;
    rest.split_once('"').map(|(id, _)| id.to_owned())
}

/// The frame that subscribes to one channel.
pub fn follow_channel(id: usize, channel: &str) -> String {
    format!(
        r#"{{"id":"{id}","type":"subscribe","payload":{{"query":"subscription($c: ID) {{ messageAdded(channelId: $c) {{ id }} }}","variables":{{"c":"{channel}"}}}}}}"#
    )
}

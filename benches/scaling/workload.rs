//! The requests of one client, and the answers that they must get.

use crate::Outcome;
use crate::cluster::Template;

/// The content of messages and comments: 100 characters.
pub const TEXT: &str =
    "The quick brown fox jumps over the lazy dog, and the lazy dog sleeps on until the sun is in the west";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Only new messages.
    Creates,
    /// The requests of [`MIXED`].
    Mixed,
}

impl Workload {
    pub fn name(self) -> &'static str {
        match self {
            Self::Creates => "creates",
            Self::Mixed => "mixed",
        }
    }

    fn steps(self) -> &'static [Step] {
        match self {
            Self::Creates => &[Step::Create],
            Self::Mixed => &MIXED,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A new message.
    Create,
    /// A change of the client's own message.
    Edit,
    /// A comment on the message of the next client.
    Comment,
    /// A new ticket that is assigned to the next client and mentions the client after that one.
    Ticket,
    /// Moves the client's read marker to the last edit of its message.
    MarkRead,
    /// A change of the message of the next client. The server refuses it with `FORBIDDEN`.
    Foreign,
    /// A change of an outdated version of the client's own message. The server refuses it with `CONFLICT`.
    Outdated,
}

/// The steps of a client with mixed writes, in this order, again and again. One fifth is refused.
const MIXED: [Step; 20] = {
    use Step::{Comment, Edit, Foreign, MarkRead, Outdated, Ticket};
    [
        Edit, Comment, Ticket, MarkRead, Foreign, //
        Edit, Comment, Ticket, Edit, Outdated, //
        Comment, Edit, Ticket, MarkRead, Foreign, //
        Edit, Comment, Ticket, MarkRead, Outdated,
    ]
};

/// A user with a message.
#[derive(Clone)]
pub struct Author {
    pub id: String,
    pub username: String,
    pub token: String,
    /// The id of the message.
    pub message: String,
    /// The position of an earlier change of the message.
    pub outdated: String,
    /// The position of the last change of the message.
    pub revision: String,
}

/// A client that sends the requests of a workload.
pub struct Writer<'t> {
    template: &'t Template,
    number: usize,
    steps: std::iter::Cycle<std::slice::Iter<'static, Step>>,
    own: Author,
}

/// A request, and what the server must do with it.
pub struct Request {
    step: Step,
    pub body: String,
}

impl<'t> Writer<'t> {
    /// The client with this number. Clients begin at different steps.
    pub fn new(template: &'t Template, number: usize, workload: Workload) -> Self {
        let mut steps = workload.steps().iter().cycle();
        steps.by_ref().take(number % workload.steps().len()).for_each(drop);
        Self { template, number, steps, own: template.authors[number].clone() }
    }

    pub fn next(&mut self) -> Request {
        let step = *self.steps.next().expect("an endless iterator");
        Request { step, body: self.body(step) }
    }

    fn body(&self, step: Step) -> String {
        let (channel, own) = (&self.template.channel, &self.own);
        let neighbour = |offset: usize| &self.template.authors[(self.number + offset) % self.template.authors.len()];
        let (next, after_next) = (neighbour(1), neighbour(2));
        match step {
            Step::Create => with_input(
                "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id } }",
                &format!(r#""channelId":"{channel}","content":"{TEXT}""#),
            ),
            Step::Edit => edit(&own.message, ""),
            Step::Comment => with_input(
                "mutation ($input: CreateCommentInput!) { createComment(input: $input) { id } }",
                &format!(r#""messageId":"{}","content":"{TEXT}""#, next.message),
            ),
            Step::Ticket => with_input(
                "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id } }",
                &format!(
                    r#""channelId":"{channel}","content":"@{} {TEXT}","ticket":{{"assigneeId":"{}"}}"#,
                    after_next.username, next.id
                ),
            ),
            Step::MarkRead => request(
                "mutation ($channel: ID!, $upTo: Cursor!) { markChannelRead(channelId: $channel, upTo: $upTo) { id } }",
                &format!(r#""channel":"{channel}","upTo":"{}""#, own.revision),
            ),
            Step::Foreign => edit(&next.message, ""),
            Step::Outdated => edit(&own.message, &format!(r#","ifCursor":"{}""#, own.outdated)),
        }
    }

    /// Checks an answer. Returns whether the change was acknowledged; if not, it was refused as it must be.
    ///
    /// # Errors
    /// The request and the answer, if the server did something else.
    pub fn check(&mut self, request: &Request, answer: &str) -> Outcome<bool> {
        let refusal = match request.step {
            Step::Foreign => Some(r#""code":"FORBIDDEN""#),
            Step::Outdated => Some(r#""code":"CONFLICT""#),
            _ => None,
        };
        let is_right = refusal.map_or(!answer.contains(r#""errors""#), |code| answer.contains(code));
        if !is_right {
            return Err(format!("wrong answer to {}: {answer}", request.body));
        }
        if request.step == Step::Edit {
            let revision = answer.split(r#""revision":""#).nth(1).and_then(|rest| rest.split('"').next());
            revision.ok_or_else(|| format!("no revision: {answer}"))?.clone_into(&mut self.own.revision);
        }
        Ok(refusal.is_none())
    }
}

fn edit(message: &str, more: &str) -> String {
    with_input(
        "mutation ($input: UpdateMessageInput!) { updateMessage(input: $input) { id revision } }",
        &format!(r#""id":"{message}","content":"{TEXT}"{more}"#),
    )
}

fn with_input(document: &str, input: &str) -> String {
    request(document, &format!(r#""input":{{{input}}}"#))
}

/// The body of a request. `document` contains nothing that JSON escapes.
fn request(document: &str, variables: &str) -> String {
    format!(r#"{{"query":"{document}","variables":{{{variables}}}}}"#)
}

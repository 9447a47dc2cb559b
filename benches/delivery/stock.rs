//! The server for comparison: juniper and juniper_warp combined as their documentation does, with messages in memory
//! and a broadcast channel for subscriptions. One difference: clients that send no pings are not closed.

use std::{
    pin::Pin,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, stream};
use juniper::{FieldError, GraphQLInputObject, GraphQLObject, ID, RootNode, graphql_object, graphql_subscription};
use juniper_graphql_ws::ConnectionConfig;
use tokio::sync::broadcast::{self, error::RecvError};
use warp::Filter as _;

use crate::Outcome;

/// Messages that a subscription may be behind before it loses some; the load stays well below.
const CAPACITY: usize = 1_024;

#[derive(Clone, GraphQLObject)]
struct Message {
    id: ID,
    title: Option<String>,
    content: String,
    author_id: ID,
    created_at: String,
}

#[derive(GraphQLInputObject)]
struct CreateMessageInput {
    channel_id: ID,
    title: Option<String>,
    content: String,
}

#[derive(GraphQLObject)]
struct Messages {
    nodes: Vec<Message>,
}

struct Board {
    next: AtomicU64,
    messages: RwLock<Vec<Message>>,
    added: broadcast::Sender<Message>,
}

#[derive(Clone)]
struct Context(Arc<Board>);

impl juniper::Context for Context {}

struct Query;

#[graphql_object(context = Context)]
impl Query {
    fn messages(context: &Context, first: i32) -> Messages {
        let first = usize::try_from(first).unwrap_or(0);
        let messages = context.0.messages.read().unwrap_or_else(PoisonError::into_inner);
        Messages { nodes: messages.iter().rev().take(first).cloned().collect() }
    }
}

struct Mutation;

#[graphql_object(context = Context)]
impl Mutation {
    fn create_message(context: &Context, input: CreateMessageInput) -> Message {
        let board = &context.0;
        let message = Message {
            id: ID::new(board.next.fetch_add(1, Ordering::Relaxed).to_string()),
            title: input.title,
            content: input.content,
            author_id: ID::new("1"),
            created_at: "2026-01-01T00:00:00.000000Z".to_owned(),
        };
        // The lock keeps one order for the list and for all subscriptions.
        let mut messages = board.messages.write().unwrap_or_else(PoisonError::into_inner);
        messages.push(message.clone());
        // Sending fails only if there is no subscriber.
        let _ = board.added.send(message.clone());
        // The reference server has only one chat channel, so it ignores the channel of a message.
        drop(input.channel_id);
        message
    }
}

type MessageStream = Pin<Box<dyn Stream<Item = Result<Message, FieldError>> + Send>>;

struct Subscription;

#[graphql_subscription(context = Context)]
impl Subscription {
    async fn message_added(context: &Context) -> MessageStream {
        let added = context.0.added.subscribe();
        Box::pin(stream::unfold(added, |mut added| async move {
            loop {
                match added.recv().await {
                    Ok(message) => return Some((Ok(message), added)),
                    // The ledger detects the loss.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        }))
    }
}

/// Serves until standard input closes.
#[tokio::main]
pub async fn run() -> Outcome<()> {
    let context = Context(Arc::new(Board {
        next: AtomicU64::new(1),
        messages: RwLock::default(),
        added: broadcast::channel(CAPACITY).0,
    }));
    let schema = Arc::new(RootNode::new(Query, Mutation, Subscription));
    let per_request = context.clone();
    let routes = warp::post()
        .and(warp::path("graphql"))
        .and(juniper_warp::make_graphql_filter(schema.clone(), warp::any().map(move || per_request.clone())))
        .or(warp::path("subscriptions").and(juniper_warp::subscriptions::make_ws_filter(
            schema,
            ConnectionConfig::new(context).with_keep_alive_timeout(Duration::ZERO),
        )));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
    println!("listening on http://{}", listener.local_addr().map_err(|error| error.to_string())?);
    crate::kernel::end_with_stdin();
    warp::serve(routes).incoming(listener).run().await;
    Ok(())
}

//! Runs operations: checks whether a caller may run an operation, chooses the thread, and executes queries and
//! mutations. Another module, `open.rs`, opens subscriptions with this engine.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use juniper::OperationType;
use tracing::Instrument as _;

use super::allowance::{Allowance, ResponseBatch};
use super::complexity::OperationLimits;
use super::context::{Caller, Ctx, DEADLINE, Purpose};
use super::counts::OperationCounts;
use super::document_cache::DocumentCache;
use super::executable::Schemas;
use super::execute::{self, Answer};
use super::nul_characters;
use super::prepared::Prepared;
use super::reader_gate::ReaderGate;
use super::refusal::Rejection;
use super::rendering_cache::{self, Renderings};
use super::request::Request;
use crate::board::Board;
use crate::error::{Error, Result};
use crate::model::{CapacityKey, Freshness, MemoryBudget};

/// Executes the operations of one server instance.
pub struct Engine {
    pub(super) board: Arc<Board>,
    schemas: Schemas,
    pub(super) limits: OperationLimits,
    documents: DocumentCache,
    /// The memory budget for the documents of open subscriptions.
    pub(super) document_memory: Arc<MemoryBudget>,
    pub(super) renderings: Renderings,
    pub(super) counts: OperationCounts,
}

impl Engine {
    /// Creates an engine over a board. Without `introspection`, clients cannot query the schema.
    #[must_use]
    pub fn new(board: Arc<Board>, limits: OperationLimits, introspection: bool) -> Self {
        // Every field costs at least 1. So the parser can already refuse a document with more fields than the cost
        // limit.
        let most_fields = usize::try_from(limits.cost).unwrap_or(usize::MAX);
        let size = board.policy.response_memory;
        Self {
            board,
            schemas: Schemas::new(limits.tokens, most_fields, introspection),
            limits,
            documents: DocumentCache::default(),
            document_memory: MemoryBudget::new(size, size / 4),
            renderings: rendering_cache::renderings(),
            counts: OperationCounts::default(),
        }
    }

    /// Counters for operators.
    #[must_use]
    pub fn counts(&self) -> &OperationCounts {
        &self.counts
    }

    /// Parses and validates an operation, computes its cost, and checks whether this caller may run it.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] if the document or the variables are not valid. `BAD_USER_INPUT` if a variable contains a
    /// NUL character. `UNAUTHENTICATED` if only signed-in users may run the operation. `QUERY_TOO_COMPLEX` if the
    /// operation is above a limit.
    pub fn prepare(&self, request: &Request, caller: &Caller) -> Result<Prepared, Rejection> {
        let prepared = self.check(request, caller);
        match &prepared {
            Ok(prepared) => self.counts.begin(prepared.kind()),
            Err(_) => self.counts.refused.count(),
        }
        prepared
    }

    /// Creates the counters for the size of the response that the operations of one request share.
    #[must_use]
    pub fn batch(&self) -> Arc<ResponseBatch> {
        ResponseBatch::new(self.limits.response)
    }

    pub(super) fn ctx(&self, prepared: &Prepared, caller: Caller, purpose: Purpose, gate: ReaderGate) -> Ctx {
        let lease = self.board.response_memory.lease(caller.viewer.party());
        let allowance = Arc::new(Allowance::new(Arc::clone(&prepared.batch), lease));
        Ctx::new(Arc::clone(&self.board), caller, purpose, gate, allowance)
    }

    fn check(&self, request: &Request, caller: &Caller) -> Result<Prepared, Rejection> {
        let name = request.operation_name.as_deref().filter(|name| !name.is_empty());
        let operation = self.documents.operation(&self.schemas, &self.limits, &request.query, name)?;
        if caller.viewer.user_id().is_none() && !self.board.policy.anonymous_read && !operation.is_allowed_anonymously()
        {
            return Err(Error::Unauthenticated("sign in first".into()).into());
        }
        let mut variables = operation.variables(request.variables.as_deref())?;
        nul_characters::check_variables(&variables)?;
        operation.check_cost(&variables, &self.limits)?;
        if operation.kind() == OperationType::Subscription {
            variables = operation.kept(variables)?;
        }
        let executable = operation.executable(&self.schemas, &variables)?;
        let batch = self.batch();
        Ok(Prepared { operation, executable, variables, resumed: None, came_at: self.board.log.now(), batch })
    }

    /// Executes a query or a mutation. Errors of fields are part of the answer.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the operation takes longer than 12 s, no thread or memory is free in time, or the database does
    /// not answer. `QUERY_TOO_COMPLEX` if the response is too large. [`Rejection::Invalid`] if juniper refuses the
    /// operation.
    pub async fn answer(&self, prepared: Prepared, caller: Caller) -> Result<Answer, Rejection> {
        let executing = async {
            match prepared.kind() {
                OperationType::Mutation => self.change(prepared, caller).await,
                OperationType::Query | OperationType::Subscription => {
                    let ctx = self.ctx(&prepared, caller, Purpose::Answer, ReaderGate::open());
                    self.read(prepared, ctx).await
                }
            }
        };
        let Ok(executed) = tokio::time::timeout(DEADLINE, executing).await else {
            return Err(Error::Unavailable("this takes too long; the outcome is unknown".into()).into());
        };
        match executed {
            Ok(answer) => answer,
            Err(Error::Internal(_)) => Ok(execute::faulty("an operation panicked")),
            Err(error) => Err(error.into()),
        }
    }

    /// Executes a query on a reader thread. If a replica failed, executes it again on the primary. If no memory was free
    /// for the response, waits for memory and tries again.
    async fn read(&self, mut prepared: Prepared, mut ctx: Ctx) -> Result<Result<Answer, Rejection>> {
        let party = ctx.party();
        loop {
            let freshness = ctx.freshness();
            let reading = move || {
                let answer = execute::query(&prepared, &ctx);
                // End the snapshot on the reader thread, because that can block.
                ctx.forget();
                (answer, prepared, ctx)
            };
            let answer;
            (answer, prepared, ctx) = self.board.reads.run_on_reader(freshness, party, reading).await?;
            if ctx.moves_to_primary() {
                continue;
            }
            if !ctx.allowance().is_out_of_memory() || !ctx.allowance().wait().await {
                return Ok(answer);
            }
        }
    }

    /// Executes a mutation. Root resolvers run on this thread; fields of their results that read the database are
    /// resolved on a reader thread.
    async fn change(&self, prepared: Prepared, caller: Caller) -> Result<Result<Answer, Rejection>> {
        let shows_on_reader = prepared.operation.results_need_database();
        let ctx = self.ctx(&prepared, caller, Purpose::Answer, ReaderGate::closed()).showing_on_reader(shows_on_reader);
        let ctx = Arc::new(ctx);
        let mut execution = AssertUnwindSafe(execute::mutation(prepared, Arc::clone(&ctx))).catch_unwind().boxed();
        loop {
            let step = poll_fn(|context| match execution.as_mut().poll(context) {
                Poll::Pending if !ctx.gate().is_waited_for() => Poll::Pending,
                step => Poll::Ready(step),
            });
            let mut step = step.await;
            if step.is_pending() {
                let reading = Arc::clone(&ctx);
                let run_on_reader = move || {
                    let mut context = Context::from_waker(Waker::noop());
                    let step = reading.gate().run(|| execution.as_mut().poll(&mut context));
                    // End the snapshot on the reader thread, because that can block.
                    reading.forget();
                    (step, execution)
                };
                (step, execution) =
                    self.board.reads.run_on_reader(Freshness::Newest, ctx.party(), run_on_reader).await?;
            }
            if let Poll::Ready(answer) = step {
                return answer.map_err(|_| Error::internal("a mutation panicked"));
            }
        }
    }

    /// Runs a use case that may write, once the caller has a mutation slot. A use case that has started is completed
    /// even if the client disconnects.
    ///
    /// # Errors
    /// Returns errors of the use case. `UNAVAILABLE` if no mutation slot becomes free in time.
    pub async fn write<T, F>(&self, party: CapacityKey, case: impl FnOnce(Arc<Board>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let turn = self.board.commands.slot(party).await?;
        let case = case(Arc::clone(&self.board));
        let writing = async move {
            let _turn = turn;
            case.await
        };
        let writing = tokio::spawn(writing.in_current_span());
        writing.await.map_err(Error::internal)?
    }
}

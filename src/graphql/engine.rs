//! Runs operations: decides who may run which, and where; answers queries and mutations, opens subscriptions.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use juniper::{ExecutionError, GraphQLError, OperationType};

use super::allowance::{Allowance, Batch};
use super::context::{Caller, Ctx, DEADLINE, Opened, Purpose};
use super::counts::Counts;
use super::document::{Documents, Operation, Refusal, Validated};
use super::executable::{Executable, Schemas, ValidatedItem};
use super::execute::{self, Answer};
use super::measure::Limits;
use super::reader_gate::ReaderGate;
use super::render::{self, ItemRenderer, Renderings};
use super::request::Request;
use super::scalar::Scalar;
use super::{Mutation, Query, Schema, Subscription, Variables, errors, nul};
use crate::board::Board;
use crate::error::{Error, Result};
use crate::live::{Deliveries, LogRequest, Subscription as Updates, SubscriptionRequest};
use crate::model::{Counted, Cursor, Lease, Memory, Party};

/// An operation that may be executed, with its variables.
pub struct Prepared {
    pub(super) operation: Arc<Operation>,
    /// What is executed instead of its document.
    executable: Option<Arc<Executable>>,
    pub(super) variables: Variables,
    /// From where a subscription goes on, whatever its arguments say.
    resumed: Option<Cursor>,
    /// Where the log stood when the operation came: from there a subscription begins that names no other place.
    came_at: Cursor,
    /// The operations that share the bytes of one answer with it.
    batch: Arc<Batch>,
}

impl Prepared {
    /// Query, mutation or subscription.
    #[must_use]
    pub fn kind(&self) -> OperationType {
        self.operation.kind()
    }

    /// The operation to execute.
    pub(super) fn validated(&self) -> &Validated<'_> {
        self.merged().unwrap_or_else(|| self.operation.validated())
    }

    /// The operation to execute if it is not the document as it is.
    fn merged(&self) -> Option<&Validated<'_>> {
        self.executable.as_ref().and_then(|executable| executable.operation())
    }

    /// The query for an item of a subscription.
    pub(super) fn item(&self) -> Option<&ValidatedItem<'_>> {
        self.executable.as_ref().and_then(|executable| executable.item())
    }

    /// Checks the variables of a merged operation: it may have lost some that directives left out. juniper checks the
    /// variables of an operation before it refuses one of another kind, and executes nothing of this.
    pub(super) fn check_variables(&self, ctx: &Ctx) -> Result<(), Refusal> {
        if self.merged().is_none() {
            return Ok(());
        }
        let (operation, variables) = (self.operation.validated(), &self.variables);
        let checked = match self.kind() {
            OperationType::Subscription => operation.execute_sync(variables, ctx).map(drop),
            OperationType::Query | OperationType::Mutation => {
                operation.resolve_into_stream(variables, ctx).now_or_never().map_or(Ok(()), |checked| checked.map(drop))
            }
        };
        match checked {
            Err(error @ GraphQLError::ValidationError(_)) => Err(self.operation.refusal(&error, variables)),
            Err(_) | Ok(()) => Ok(()),
        }
    }

    /// The errors of fields, as `errors` of a response.
    pub(super) fn errors(&self, errors: &[ExecutionError<Scalar>], is_of_item: bool) -> serde_json::Value {
        let mut errors = match &self.executable {
            Some(executable) => executable.errors(errors, is_of_item),
            None => errors::of_execution(errors),
        };
        self.operation.relocate(&mut errors);
        errors
    }

    /// The same, behind this position if it is a subscription of events: for clients that come back with a cursor and
    /// cannot say it anywhere but beside their request.
    #[must_use]
    pub fn after(self, cursor: Cursor) -> Self {
        Self { resumed: Some(cursor), ..self }
    }

    /// The same, as one of several that are answered together.
    #[must_use]
    pub fn in_batch(self, batch: &Arc<Batch>) -> Self {
        Self { batch: Arc::clone(batch), ..self }
    }
}

/// A subscription that was opened.
pub struct Live {
    pub(super) prepared: Prepared,
    pub(super) selection: [u8; 16],
    pub(super) caller: Caller,
    /// Checkpoints are items of it.
    pub has_checkpoints: bool,
    _counted: Counted,
    _trees: (Arc<Lease>, Option<Arc<Lease>>),
}

impl Live {
    /// Who reads it.
    #[must_use]
    pub fn viewer(&self) -> &crate::board::Viewer {
        &self.caller.viewer
    }
}

/// What executes operations.
pub struct Engine {
    pub(super) board: Arc<Board>,
    schemas: Schemas,
    pub(super) limits: Limits,
    documents: Documents,
    /// For the documents of subscriptions that are open.
    document_memory: Arc<Memory>,
    pub(super) renderings: Renderings,
    pub(super) counts: Counts,
}

/// The schema in the language of schemas.
#[must_use]
pub fn sdl() -> String {
    Schema::new_with_scalar_value(Query, Mutation, Subscription).as_sdl()
}

impl Engine {
    /// Over a board.
    #[must_use]
    pub fn new(board: Arc<Board>, limits: Limits, introspection: bool) -> Self {
        // Every field costs one at least: what has more of them is refused while it is parsed.
        let most_fields = usize::try_from(limits.cost).unwrap_or(usize::MAX);
        let size = board.rules().response_memory;
        Self {
            board,
            schemas: Schemas::new(limits.tokens, most_fields, introspection),
            limits,
            documents: Documents::default(),
            document_memory: Memory::new(size, size / 4),
            renderings: render::renderings(),
            counts: Counts::default(),
        }
    }

    /// What was counted for operators.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Parses, validates and measures an operation, and decides whether this caller may run it.
    ///
    /// # Errors
    /// Why not.
    pub fn prepare(&self, request: Request, caller: &Caller) -> Result<Prepared, Refusal> {
        let prepared = self.check(request, caller);
        match &prepared {
            Ok(prepared) => self.counts.begin(prepared.kind()),
            Err(refusal) => {
                self.counts.refused.count();
                // Not what is wrong with a document: that may quote it, with a password in it.
                let reason = refusal.error().map(ToString::to_string);
                tracing::debug!(code = refusal.code(), reason, "an operation was refused before it began");
            }
        }
        prepared
    }

    /// What the operations of one request may take together.
    #[must_use]
    pub fn batch(&self) -> Arc<Batch> {
        Batch::new(self.limits.response)
    }

    fn ctx(&self, prepared: &Prepared, caller: Caller, purpose: Purpose, gate: ReaderGate) -> Ctx {
        let lease = self.board.memory().lease(caller.viewer.party());
        let allowance = Arc::new(Allowance::new(Arc::clone(&prepared.batch), lease));
        Ctx::new(Arc::clone(&self.board), caller, purpose, gate, allowance)
    }

    fn check(&self, request: Request, caller: &Caller) -> Result<Prepared, Refusal> {
        let name = request.operation_name.as_deref().filter(|name| !name.is_empty());
        let operation = self.documents.operation(&self.schemas, &self.limits, &request.query, name)?;
        if caller.viewer.user_id().is_none() && !self.board.serves_strangers() && !operation.is_for_strangers() {
            return Err(Error::Unauthenticated("sign in first".into()).into());
        }
        let mut variables = operation.variables(request.variables.as_deref())?;
        nul::check_variables(&variables)?;
        operation.check_cost(&variables, &self.limits)?;
        if operation.kind() == OperationType::Subscription {
            variables = operation.kept(variables)?;
        }
        let executable = operation.executable(&self.schemas, &variables)?;
        let batch = self.batch();
        Ok(Prepared { operation, executable, variables, resumed: None, came_at: self.board.now(), batch })
    }

    /// Executes a query or a mutation.
    ///
    /// # Errors
    /// If it was not executed.
    pub async fn answer(&self, prepared: Prepared, caller: Caller) -> Result<Answer, Refusal> {
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

    /// Executes what reads, on a thread that may; once more when there is memory, if there was none.
    async fn read(&self, mut prepared: Prepared, mut ctx: Ctx) -> Result<Result<Answer, Refusal>> {
        let party = ctx.party();
        loop {
            let reading = move || {
                let answer = execute::query(&prepared, &ctx);
                // Its snapshot ends on this thread.
                ctx.forget();
                (answer, prepared, ctx)
            };
            let answer;
            (answer, prepared, ctx) = self.board.store().on_reader(party, reading).await?;
            if !ctx.allowance().is_short() || !ctx.allowance().wait().await {
                return Ok(answer);
            }
        }
    }

    /// Executes a mutation on this thread, and what it reads to show its results on a reader thread.
    async fn change(&self, prepared: Prepared, caller: Caller) -> Result<Result<Answer, Refusal>> {
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
                let on_reader = move || {
                    let mut context = Context::from_waker(Waker::noop());
                    let step = reading.gate().run(|| execution.as_mut().poll(&mut context));
                    // The snapshot ends on this thread.
                    reading.forget();
                    (step, execution)
                };
                (step, execution) = self.board.store().on_reader(ctx.party(), on_reader).await?;
            }
            if let Poll::Ready(answer) = step {
                return answer.map_err(|_| Error::internal("a mutation panicked"));
            }
        }
    }

    /// Runs a use case that may write, when it is its turn: all of it, also when the client leaves meanwhile.
    ///
    /// # Errors
    /// Those of the case; `UNAVAILABLE` if its turn does not come.
    pub async fn write<T, F>(&self, party: Party, case: impl FnOnce(Arc<Board>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let turn = self.board.turn(party).await?;
        let case = case(Arc::clone(&self.board));
        let writing = tokio::spawn(async move {
            let _turn = turn;
            case.await
        });
        writing.await.map_err(Error::internal)?
    }

    /// Opens a subscription.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub async fn open(
        self: &Arc<Self>,
        prepared: Prepared,
        caller: Caller,
    ) -> Result<Deliveries<ItemRenderer>, Refusal> {
        let (request, has_checkpoints) = self.subscription_request(&prepared, &caller)?;
        let party = caller.viewer.party();
        let document = prepared.operation.borrow(&self.document_memory, party)?;
        let executable = prepared.executable.as_ref();
        let executable = executable.map(|it| it.borrow(&self.document_memory, party)).transpose()?;
        let updates = Updates::open(&self.board, &caller.viewer, request).await?;
        let selection = prepared.operation.selection(&prepared.variables);
        let counted = self.counts.following.enter();
        let trees = (document, executable);
        let live = Live { prepared, selection, caller, has_checkpoints, _counted: counted, _trees: trees };
        Ok(Deliveries::new(updates, ItemRenderer::new(Arc::clone(self), live)))
    }

    /// Runs the resolver of a subscription. Returns its request, and whether the subscription has checkpoints.
    fn subscription_request(
        &self,
        prepared: &Prepared,
        caller: &Caller,
    ) -> Result<(SubscriptionRequest, bool), Refusal> {
        let ctx = self.ctx(prepared, caller.clone(), Purpose::Open(Opened::default()), ReaderGate::closed());
        prepared.check_variables(&ctx)?;
        let resolving = prepared.validated().resolve_into_stream(&prepared.variables, &ctx);
        let errors = match AssertUnwindSafe(resolving).catch_unwind().now_or_never() {
            Some(Ok(Ok((_, errors)))) => errors,
            Some(Ok(Err(error))) => return Err(prepared.operation.refusal(&error, &prepared.variables)),
            Some(Err(_)) | None => return Err(Error::internal("a subscription could not be opened").into()),
        };
        if !errors.is_empty() {
            return Err(Refusal::Invalid(prepared.errors(&errors, false)));
        }
        let Purpose::Open(opened) = ctx.purpose() else { return Err(Error::internal("not opening").into()) };
        let request = opened.request().ok_or_else(|| Error::input("query", "the subscription selects nothing"))?;
        let request = match request {
            SubscriptionRequest::Log(request) => {
                let after = prepared.resumed.or(request.after).or(Some(prepared.came_at));
                SubscriptionRequest::Log(LogRequest { after, ..request })
            }
            request => request,
        };
        Ok((request, opened.has_checkpoints()))
    }
}

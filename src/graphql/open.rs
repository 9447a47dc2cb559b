//! Opens GraphQL subscriptions: runs the resolver once, and starts to deliver rendered items.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::context::{Caller, Opened, Purpose};
use super::engine::Engine;
use super::prepared::{Live, Prepared};
use super::reader_gate::ReaderGate;
use super::refusal::Rejection;
use super::render::ItemRenderer;
use crate::error::{Error, Result};
use crate::live::{Deliveries, LogRequest, Subscription, SubscriptionRequest};

impl Engine {
    /// Opens a subscription for a caller. The result yields the rendered items.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for an invalid argument. `NOT_FOUND` if the target does not exist for the viewer.
    /// `CURSOR_EXPIRED` if the log cannot be resumed from the cursor. `UNAUTHENTICATED` if the subscription requires a
    /// signed-in user. `UNAVAILABLE` if the database does not answer, or the documents of open subscriptions use too
    /// much memory.
    pub async fn open(
        self: &Arc<Self>,
        prepared: Prepared,
        caller: Caller,
    ) -> Result<Deliveries<ItemRenderer>, Rejection> {
        let (request, has_checkpoints) = self.subscription_request(&prepared, &caller)?;
        let party = caller.viewer.party();
        let document = prepared.operation.borrow(&self.document_memory, party)?;
        let executable = prepared.executable.as_ref();
        let executable = executable.map(|it| it.borrow(&self.document_memory, party)).transpose()?;
        let updates = Subscription::open(&self.board, &caller.viewer, request).await?;
        let selection = prepared.operation.selection(&prepared.variables);
        let counted = self.counts.following.enter();
        let trees = (document, executable);
        let live = Live { prepared, selection, caller, has_checkpoints, _counted: counted, _trees: trees };
        Ok(Deliveries::new(updates, ItemRenderer::new(Arc::clone(self), live)))
    }

    /// Runs the resolver of a subscription. Returns the request for the log, and whether the subscription has
    /// checkpoints.
    fn subscription_request(
        &self,
        prepared: &Prepared,
        caller: &Caller,
    ) -> Result<(SubscriptionRequest, bool), Rejection> {
        let ctx = self.ctx(prepared, caller.clone(), Purpose::Open(Opened::default()), ReaderGate::closed());
        prepared.check_variables(&ctx)?;
        let resolving = prepared.validated().resolve_into_stream(&prepared.variables, &ctx);
        let errors = match AssertUnwindSafe(resolving).catch_unwind().now_or_never() {
            Some(Ok(Ok((_, errors)))) => errors,
            Some(Ok(Err(error))) => return Err(prepared.operation.refusal(&error, &prepared.variables)),
            Some(Err(_)) | None => return Err(Error::internal("a subscription could not be opened").into()),
        };
        if !errors.is_empty() {
            return Err(Rejection::Invalid(prepared.errors(&errors, false)));
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

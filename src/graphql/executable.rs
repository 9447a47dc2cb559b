//! The documents that juniper executes instead of the client's document: an operation with merged fields (`merge.rs`),
//! and a query for the items of a subscription. Both are derived from the client's document.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use juniper::{Definition, EmptyMutation, EmptySubscription, ExecutionError, OperationType, ValidatedOperation};

use super::context::Ctx;
use super::errors;
use super::field_merging::{self, ConditionValues, MergedDocument, MergedKind, SourceMap};
use super::items::{ItemSchema, Items};
use super::literals::UntypedSchema;
use super::mutation::Mutation;
use super::query::Query;
use super::refusal::Rejection;
use super::scalar::Scalar;
use super::schema::Schema;
use super::subscription::SubscriptionRoot;
use super::sync_value::SyncValue;
use super::tree_memory::TreeMemory;
use crate::error::Error;
use crate::model::{CapacityKey, MemoryBudget, MemoryLease};

/// The schemas that documents are parsed with.
pub struct Schemas {
    /// The schema for documents of clients, with limits.
    pub client: Arc<Schema>,
    /// A schema without types, with which every literal parses.
    pub untyped: UntypedSchema,
    /// The schema for merged documents. It has no limits, because `merge.rs` limits their size.
    merged: Arc<Schema>,
    /// The schema for subscription items. It has no limits, for the same reason.
    items: Arc<ItemSchema>,
}

impl Schemas {
    /// Creates the schemas. `tokens` and `fields` limit the documents of clients.
    #[must_use]
    pub fn new(tokens: usize, fields: usize, introspection: bool) -> Self {
        let new = || Schema::new_with_scalar_value(SyncValue(Query), Mutation, SubscriptionRoot);
        let client = new().limit_tokens(tokens).limit_fields(fields);
        let client = if introspection { client } else { client.disable_introspection() };
        let items = ItemSchema::new_with_scalar_value(Items, EmptyMutation::new(), EmptySubscription::new());
        Self {
            client: Arc::new(client),
            untyped: UntypedSchema::new(tokens, fields),
            merged: Arc::new(new().limit_tokens(usize::MAX).limit_fields(usize::MAX)),
            items: Arc::new(items.limit_tokens(usize::MAX).limit_fields(usize::MAX)),
        }
    }
}

/// The text of a document, and the schema that it is parsed with.
pub struct DocumentSource<S> {
    pub schema: Arc<S>,
    pub text: String,
}

/// An operation of the schema in the form that juniper executes.
pub type Validated<'a> = ValidatedOperation<'a, SyncValue<Query>, Mutation, SubscriptionRoot, Scalar>;
type ClientSource = DocumentSource<Schema>;
type ItemSource = DocumentSource<ItemSchema>;
/// The query for a subscription item in the form that juniper executes.
pub type ValidatedItem<'a> = ValidatedOperation<'a, Items, EmptyMutation<Ctx>, EmptySubscription<Ctx>, Scalar>;

self_cell::self_cell!(
    /// An operation of the schema, together with the document that it borrows from.
    pub struct ParsedDocument {
        owner: ClientSource,
        #[covariant]
        dependent: Validated,
    }
);

self_cell::self_cell!(
    /// The query for a subscription item, together with the document that it borrows from.
    struct ParsedItemQuery {
        owner: ItemSource,
        #[covariant]
        dependent: ValidatedItem,
    }
);

/// The documents that juniper executes instead of a document of a client.
#[derive(Default)]
pub struct Executable {
    /// The query or mutation, or the subscription with its root field only. `None` if the client's document is
    /// executed.
    operation: Option<(ParsedDocument, SourceMap)>,
    /// The query for an item of the subscription. `None` for queries and mutations.
    item: Option<(ParsedItemQuery, SourceMap)>,
    memory: TreeMemory,
}

impl Executable {
    /// Derives the documents from a document that passed validation, for these values of the variables in `@skip` and
    /// `@include`.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the merged document is too large.
    pub fn new(
        schemas: &Schemas,
        (text, name): (&str, Option<&str>),
        (kind, is_repetitive): (OperationType, bool),
        conditions: &ConditionValues,
    ) -> Result<Self, Rejection> {
        let document = juniper::parser::parse_document_source(text, &schemas.client.schema);
        let document = document.map_err(|error| Error::internal(error.item))?;
        let merge = |kind: MergedKind| merge_document((text, &document), name, schemas, conditions, kind);
        let mut executable = Self::default();
        // A subscription is opened with its root field only. juniper panics if a field in a root fragment fails.
        if is_repetitive || kind == OperationType::Subscription {
            let is_subscription = kind == OperationType::Subscription;
            let kind = if is_subscription { MergedKind::SubscriptionStart } else { MergedKind::Response };
            let MergedDocument { text, source_map } = merge(kind)?;
            let source = DocumentSource { schema: Arc::clone(&schemas.merged), text };
            let parsed = validate_merged(|| {
                ParsedDocument::try_new(source, |source| Validated::new(&source.text, None, &source.schema))
            });
            executable.operation = Some((parsed?, source_map));
        }
        if kind == OperationType::Subscription {
            let MergedDocument { text, source_map } = merge(MergedKind::SubscriptionItem)?;
            let source = DocumentSource { schema: Arc::clone(&schemas.items), text };
            let parsed = validate_merged(|| {
                ParsedItemQuery::try_new(source, |source| ValidatedItem::new(&source.text, None, &source.schema))
            });
            executable.item = Some((parsed?, source_map));
        }
        Ok(executable)
    }

    /// The operation to execute; `None` if the client's document is executed.
    #[must_use]
    pub fn operation(&self) -> Option<&Validated<'_>> {
        self.operation.as_ref().map(|(parsed, _)| parsed.borrow_dependent())
    }

    /// The query for a subscription item; `None` for queries and mutations.
    #[must_use]
    pub fn item(&self) -> Option<&ValidatedItem<'_>> {
        self.item.as_ref().map(|(parsed, _)| parsed.borrow_dependent())
    }

    /// Converts field errors to JSON, with the locations in the document before merging. `is_of_item` says that the
    /// errors come from the query for an item.
    #[must_use]
    pub fn errors(&self, errors: &[ExecutionError<Scalar>], is_of_item: bool) -> serde_json::Value {
        let mut errors = errors::execution_errors(errors);
        let source_map = if is_of_item {
            self.item.as_ref().map(|(_, source_map)| source_map)
        } else {
            self.operation.as_ref().map(|(_, source_map)| source_map)
        };
        if let Some(source_map) = source_map {
            source_map.relocate(&mut errors);
        }
        errors
    }

    /// Leases the memory for the syntax trees. An open subscription holds the lease.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the open subscriptions of this client, or of all clients, have too many different documents.
    pub fn borrow(&self, memory: &Arc<MemoryBudget>, party: CapacityKey) -> Result<Arc<MemoryLease>, Rejection> {
        self.memory.borrow(self.bytes(), memory, party)
    }

    /// The length of the documents, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let operation = self.operation.as_ref().map_or(0, |(parsed, _)| parsed.borrow_owner().text.len());
        operation + self.item.as_ref().map_or(0, |(parsed, _)| parsed.borrow_owner().text.len())
    }
}

fn merge_document(
    document: (&str, &[Definition<'_, Scalar>]),
    name: Option<&str>,
    schemas: &Schemas,
    conditions: &ConditionValues,
    kind: MergedKind,
) -> Result<MergedDocument, Rejection> {
    let merged = field_merging::merge_document(document, name, &schemas.client.schema, conditions, kind);
    merged.map_err(|message| Error::TooComplex(message).into())
}

/// Parses and validates a merged document. It was derived from a valid document, so a failure is an internal error.
fn validate_merged<T>(parse: impl FnOnce() -> Result<T, juniper::GraphQLError>) -> Result<T, Rejection> {
    let parsed = catch_unwind(AssertUnwindSafe(parse));
    let parsed = parsed.map_err(|_| Error::internal("validating a merged document failed"))?;
    parsed.map_err(|error| Error::internal(format!("a merged document is not valid: {error}")).into())
}

//! What juniper executes for an operation where that is not the document as it is: a merged document (`merge.rs`), and
//! for the items of a subscription a query.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use juniper::{Definition, EmptyMutation, EmptySubscription, ExecutionError, OperationType, ValidatedOperation};

use super::context::Ctx;
use super::document::{Refusal, Validated};
use super::items::{ItemSchema, Items};
use super::literals::Bare;
use super::merge::{self, Form, Merged, Places, Truths};
use super::scalar::Scalar;
use super::tree_memory::TreeMemory;
use super::{Mutation, Query, Schema, Subscription, errors};
use crate::error::Error;
use crate::model::{Lease, Memory, Party};

/// The schemas that documents are read with.
pub struct Schemas {
    /// Of documents as clients send them.
    pub client: Arc<Schema>,
    /// In which every literal parses.
    pub bare: Bare,
    /// Of merged documents. Their size is limited when they are written.
    merged: Arc<Schema>,
    /// Of the items of subscriptions.
    items: Arc<ItemSchema>,
}

impl Schemas {
    /// With the limits of documents that clients send.
    #[must_use]
    pub fn new(tokens: usize, fields: usize, introspection: bool) -> Self {
        let new = || Schema::new_with_scalar_value(Query, Mutation, Subscription);
        let client = new().limit_tokens(tokens).limit_fields(fields);
        let client = if introspection { client } else { client.disable_introspection() };
        let items = ItemSchema::new_with_scalar_value(Items, EmptyMutation::new(), EmptySubscription::new());
        Self {
            client: Arc::new(client),
            bare: Bare::new(tokens, fields),
            merged: Arc::new(new().limit_tokens(usize::MAX).limit_fields(usize::MAX)),
            items: Arc::new(items.limit_tokens(usize::MAX).limit_fields(usize::MAX)),
        }
    }
}

/// A document with its schema.
pub struct Source<S> {
    pub schema: Arc<S>,
    pub text: String,
}

type ClientSource = Source<Schema>;
type ItemSource = Source<ItemSchema>;
/// The query for an item, as juniper executes it.
pub type ValidatedItem<'a> = ValidatedOperation<'a, Items, EmptyMutation<Ctx>, EmptySubscription<Ctx>, Scalar>;

self_cell::self_cell!(
    /// An operation of the schema.
    pub struct Parsed {
        owner: ClientSource,
        #[covariant]
        dependent: Validated,
    }
);

self_cell::self_cell!(
    struct ParsedItem {
        owner: ItemSource,
        #[covariant]
        dependent: ValidatedItem,
    }
);

/// What juniper executes instead of a document.
#[derive(Default)]
pub struct Executable {
    /// The query or mutation, or the subscription that is opened.
    operation: Option<(Parsed, Places)>,
    /// The query for an item of the subscription.
    item: Option<(ParsedItem, Places)>,
    memory: TreeMemory,
}

impl Executable {
    /// Of an operation in a document that passed validation, for these values of variables.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the merged document is too large.
    pub fn new(
        schemas: &Schemas,
        (text, name): (&str, Option<&str>),
        (kind, is_repetitive): (OperationType, bool),
        truths: &Truths,
    ) -> Result<Self, Refusal> {
        let document = juniper::parser::parse_document_source(text, &schemas.client.schema);
        let document = document.map_err(|error| Error::internal(error.item))?;
        let written = |form: Form| written((text, &document), name, schemas, truths, form);
        let mut executable = Self::default();
        // A subscription is opened with its root field alone: juniper panics if a field fails in a fragment at the
        // root.
        if is_repetitive || kind == OperationType::Subscription {
            let form = if kind == OperationType::Subscription { Form::Open } else { Form::Answer };
            let Merged { text, places } = written(form)?;
            let source = Source { schema: Arc::clone(&schemas.merged), text };
            let parsed =
                validated(|| Parsed::try_new(source, |source| Validated::new(&source.text, None, &source.schema)));
            executable.operation = Some((parsed?, places));
        }
        if kind == OperationType::Subscription {
            let Merged { text, places } = written(Form::Item)?;
            let source = Source { schema: Arc::clone(&schemas.items), text };
            let parsed = validated(|| {
                ParsedItem::try_new(source, |source| ValidatedItem::new(&source.text, None, &source.schema))
            });
            executable.item = Some((parsed?, places));
        }
        Ok(executable)
    }

    /// The operation to execute; `None` if it is the document as it is.
    #[must_use]
    pub fn operation(&self) -> Option<&Validated<'_>> {
        self.operation.as_ref().map(|(parsed, _)| parsed.borrow_dependent())
    }

    /// The query for an item.
    #[must_use]
    pub fn item(&self) -> Option<&ValidatedItem<'_>> {
        self.item.as_ref().map(|(parsed, _)| parsed.borrow_dependent())
    }

    /// The errors of fields, in the places of the document that was merged.
    #[must_use]
    pub fn errors(&self, errors: &[ExecutionError<Scalar>], is_of_item: bool) -> serde_json::Value {
        let mut errors = errors::of_execution(errors);
        let places = if is_of_item {
            self.item.as_ref().map(|(_, places)| places)
        } else {
            self.operation.as_ref().map(|(_, places)| places)
        };
        if let Some(places) = places {
            places.relocate(&mut errors);
        }
        errors
    }

    /// Borrows the memory for its syntax trees, for as long as a subscription uses them.
    ///
    /// # Errors
    /// `UNAVAILABLE` if this client, or all of them, have too many different documents.
    pub fn borrow(&self, memory: &Arc<Memory>, party: Party) -> Result<Arc<Lease>, Refusal> {
        self.memory.borrow(self.bytes(), memory, party)
    }

    /// How long its documents are, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let operation = self.operation.as_ref().map_or(0, |(parsed, _)| parsed.borrow_owner().text.len());
        operation + self.item.as_ref().map_or(0, |(parsed, _)| parsed.borrow_owner().text.len())
    }
}

fn written(
    document: (&str, &[Definition<'_, Scalar>]),
    name: Option<&str>,
    schemas: &Schemas,
    truths: &Truths,
    form: Form,
) -> Result<Merged, Refusal> {
    let merged = merge::merged(document, name, &schemas.client.schema, truths, form);
    merged.map_err(|why| Error::TooComplex(why).into())
}

/// What was written from a valid document is valid.
fn validated<T>(parse: impl FnOnce() -> Result<T, juniper::GraphQLError>) -> Result<T, Refusal> {
    let parsed = catch_unwind(AssertUnwindSafe(parse));
    let parsed = parsed.map_err(|_| Error::internal("validating a merged document failed"))?;
    parsed.map_err(|error| Error::internal(format!("a merged document is not valid: {error}")).into())
}

//! Documents as clients send them: measured against the limits before anything else, validated once, kept
//! for the next time.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use juniper::parser::{Lexer, Token};
use juniper::{Definition, GraphQLError, InputValue, OperationType, ParseError, ValidatedOperation};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::cost::Cost;
use super::executable::{Executable, Parsed, Schemas, Source};
use super::literals::{self, Shifts};
use super::measure::{Limits, Measure};
use super::merge::Truths;
use super::scalar::Scalar;
use super::tree_memory::TreeMemory;
use super::variables::{self, Shape};
use super::{Mutation, Query, Schema, Subscription, Variables, errors, hints, nul, nulls, repeated, result_fields};
use crate::error::Error;
use crate::model::{Lease, Memory, Party};

/// How many documents are kept.
const KEPT: usize = 1_000;
/// Longer documents are not kept.
const MAX_KEPT_BYTES: usize = 16 << 10;
/// What the kept documents weigh together: some 50 MB in memory for a client that fills it on purpose, and out of reach
/// for the documents of applications.
const MAX_KEPT_WEIGHT: usize = 512 << 10;
/// What a field weighs once the fragments are expanded, in bytes of text.
const FIELD_WEIGHT: usize = 4;
/// Bytes of the document of a subscription, and of its variables, which are kept as long as it is open.
const MAX_SUBSCRIPTION_BYTES: usize = 16 << 10;
/// What a value of a variable takes beside its text, in bytes.
const VALUE_WEIGHT: usize = 64;
/// How many merged forms of a document are kept, for different values of the variables that directives use.
const MAX_EXECUTABLES: usize = 4;
/// Bytes of the longest name. Errors of validation quote names, over and over.
const MAX_NAME: usize = 200;

/// As juniper executes it.
pub type Validated<'a> = ValidatedOperation<'a, Query, Mutation, Subscription, Scalar>;

/// One operation of a document that passed validation.
pub struct Operation {
    parsed: Parsed,
    /// Its name, if the request has one.
    name: Option<String>,
    digest: [u8; 16],
    measure: Measure,
    /// What is executed instead of the document, by the values of the variables that directives use.
    executables: Mutex<VecDeque<(Truths, Arc<Executable>)>>,
    /// What these weigh, in bytes of text.
    extra_weight: usize,
    /// How its variables are to be read.
    shapes: Vec<(String, Shape)>,
    /// The nullable variables that it uses where `null` is not allowed.
    not_null: BTreeSet<String>,
    /// Where errors are in the document that the client sent.
    shifts: Shifts,
    /// Whether errors may suggest what the schema has.
    hints: bool,
    /// Whether showing what a mutation made may need the database.
    results_need_database: bool,
    /// Whether rendering an item of it needs the database, as seen so far.
    pub needs_database: AtomicBool,
    /// Whether what is rendered differs from viewer to viewer, as seen so far.
    pub is_personal: AtomicBool,
    memory: TreeMemory,
}

impl Operation {
    /// As juniper executes it.
    #[must_use]
    pub fn validated(&self) -> &Validated<'_> {
        self.parsed.borrow_dependent()
    }

    /// Query, mutation or subscription.
    #[must_use]
    pub fn kind(&self) -> OperationType {
        self.validated().operation_type()
    }

    /// Whether showing what a mutation made may need the database.
    #[must_use]
    pub fn results_need_database(&self) -> bool {
        self.results_need_database
    }

    /// Whether strangers may run it even if the installation is closed to anonymous readers: it
    /// signs in, registers or looks at the schema, and does nothing else.
    #[must_use]
    pub fn is_for_strangers(&self) -> bool {
        let open = ["login", "register", "__schema", "__type", "__typename"];
        self.measure.roots.iter().all(|root| open.contains(&root.as_str()))
    }

    /// What a rendering of an item depends on: the document, and the variables used in it, but for
    /// the arguments of the subscription itself. Who resumes `after` different cursors shares it.
    #[must_use]
    pub fn selection(&self, variables: &Variables) -> [u8; 16] {
        if self.measure.inner_variables.is_empty() {
            return self.digest;
        }
        let mut hasher = Sha256::new_with_prefix(self.digest);
        for name in &self.measure.inner_variables {
            let value = variables.get(name).map(|value| serde_json::to_string(value).unwrap_or_default());
            hasher.update(format!("{name:?}={value:?};"));
        }
        half(&hasher.finalize())
    }

    /// Its variables, from JSON.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` naming `variables`, or a variable that is `null` where the operation does not allow it.
    pub fn variables(&self, json: Option<&RawValue>) -> Result<Variables, Refusal> {
        let variables = variables::read(&self.shapes, json).map_err(|message| Error::input("variables", message))?;
        match self.not_null.iter().find(|name| variables.get(name.as_str()).is_some_and(InputValue::is_null)) {
            Some(name) => {
                let message = format!("Variable \"${name}\" must not be null where the operation uses it");
                Err(Error::input(name.clone(), message).into())
            }
            None => Ok(variables),
        }
    }

    /// First what is cheap and bounded, whatever was sent; validation is neither.
    fn parse(schemas: &Schemas, limits: &Limits, text: &str, name: Option<&str>) -> Result<Self, Refusal> {
        check_words(text, limits)?;
        let digest = half(&Sha256::digest(format!("{name:?}{text}")));
        let schema = &schemas.client;
        let rewritten = literals::rewritten(text, schema, &schemas.bare, limits.tokens).map_err(Refusal::Invalid)?;
        let (text, shifts) = match rewritten {
            Some(rewritten) => (Cow::Owned(rewritten.text), rewritten.shifts),
            None => (Cow::Borrowed(text), Shifts::default()),
        };
        let parsed = Self::parse_rewritten(schema, limits, &text, name);
        let (parsed, measure, not_null, results_need_database) = parsed.map_err(|mut refusal| {
            if let Refusal::Invalid(errors) = &mut refusal {
                shifts.relocate(errors);
                if limits.hints {
                    hints::add(errors, schema, &[]);
                }
            }
            refusal
        })?;
        let shape = |(name, of, lists): &(String, String, usize)| (name.clone(), Shape::of(schema, of, *lists));
        let shapes = measure.variables.iter().map(shape).collect();
        let (needs_database, is_personal) = (AtomicBool::new(false), AtomicBool::new(false));
        let (hints, memory, executables) = (limits.hints, TreeMemory::default(), Mutex::default());
        let name = name.map(str::to_owned);
        let mut operation = Self {
            parsed,
            name,
            digest,
            measure,
            executables,
            extra_weight: 0,
            shapes,
            not_null,
            shifts,
            hints,
            results_need_database,
            needs_database,
            is_personal,
            memory,
        };
        operation.extra_weight = operation.weigh(schemas)?;
        Ok(operation)
    }

    /// What is executed instead of the document weighs: it is made once, or for some values of variables.
    fn weigh(&self, schemas: &Schemas) -> Result<usize, Refusal> {
        let most = u32::try_from(self.measure.conditions.len()).ok().and_then(|count| 2_usize.checked_pow(count));
        let most = most.map_or(MAX_EXECUTABLES, |most| most.min(MAX_EXECUTABLES));
        if !self.has_executable() {
            return Ok(0);
        }
        if most > 1 {
            return Ok(most * self.own_weight());
        }
        let executable = self.executable(schemas, &Variables::default())?;
        Ok(executable.map_or(0, |executable| executable.bytes()))
    }

    /// Whether something else is executed than the document as it is.
    fn has_executable(&self) -> bool {
        self.measure.is_repetitive || self.kind() == OperationType::Subscription
    }

    /// What is executed instead of the document with these variables; `None` if it is executed as it is.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if that is too large.
    pub fn executable(&self, schemas: &Schemas, variables: &Variables) -> Result<Option<Arc<Executable>>, Refusal> {
        if !self.has_executable() {
            return Ok(None);
        }
        let truth = |(name, default): (&String, &bool)| match variables.get(name) {
            Some(InputValue::Scalar(Scalar::Boolean(is_true))) => (name.clone(), *is_true),
            _ => (name.clone(), *default),
        };
        let truths: Truths = self.measure.conditions.iter().map(truth).collect();
        let known = |kept: &VecDeque<(Truths, Arc<Executable>)>| {
            kept.iter().find(|(for_these, _)| *for_these == truths).map(|(_, executable)| Arc::clone(executable))
        };
        if let Some(executable) = known(&self.executables.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(Some(executable));
        }
        let document = (self.parsed.borrow_owner().text.as_str(), self.name.as_deref());
        let executable = Executable::new(schemas, document, (self.kind(), self.measure.is_repetitive), &truths)?;
        let executable = Arc::new(executable);
        let mut kept = self.executables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(executable) = known(&kept) {
            return Ok(Some(executable));
        }
        // With conditions, no more is kept than the operation counts for.
        let room = if self.measure.conditions.is_empty() { usize::MAX } else { self.extra_weight };
        let bytes = executable.bytes();
        let mut used: usize = kept.iter().map(|(_, executable)| executable.bytes()).sum();
        while (kept.len() >= MAX_EXECUTABLES || used.saturating_add(bytes) > room)
            && let Some((_, oldest)) = kept.pop_front()
        {
            used -= oldest.bytes();
        }
        if bytes <= room {
            kept.push_back((truths, Arc::clone(&executable)));
        }
        Ok(Some(executable))
    }

    fn parse_rewritten(
        schema: &Arc<Schema>,
        limits: &Limits,
        text: &str,
        name: Option<&str>,
    ) -> Result<(Parsed, Measure, BTreeSet<String>, bool), Refusal> {
        let (measure, not_null, repeated, results_need_database) = {
            let document = juniper::parser::parse_document_source(text, &schema.schema);
            let document = document.map_err(|error| invalid(&GraphQLError::ParseError(error), limits))?;
            check_types(&document, schema)?;
            nul::check_document(text, &document)?;
            let measure = Measure::of(&document, name, limits).map_err(too_complex)?;
            let results_need_database = result_fields::need_database(&document, schema);
            let not_null = nulls::forbidden(&document, name, schema);
            (measure, not_null, repeated::directives(&document, schema), results_need_database)
        };
        let source = Source { schema: Arc::clone(schema), text: text.to_owned() };
        let parsed = catch_unwind(AssertUnwindSafe(|| {
            Parsed::try_new(source, |source| Validated::new(&source.text, name, &source.schema))
        }));
        let parsed = parsed.map_err(|_| Error::internal("validating a document failed"))?;
        let parsed = parsed.map_err(|error| match (error, name) {
            (GraphQLError::UnknownOperationName, Some(name)) => unknown_operation(name),
            (error, _) => invalid(&error, limits),
        })?;
        if let Some(errors) = repeated {
            return Err(Refusal::Invalid(errors));
        }
        let not_null = not_null.map_err(Refusal::Invalid)?;
        if parsed.borrow_dependent().operation_type() == OperationType::Subscription && measure.root_keys != 1 {
            return Err(Refusal::Invalid(errors::of_rule("A subscription selects one root field.")));
        }
        if parsed.borrow_dependent().operation_type() == OperationType::Subscription
            && measure.roots[0].starts_with("__")
        {
            let message = "A subscription must not select an introspection field as its root field.";
            return Err(Refusal::Invalid(errors::of_rule(message)));
        }
        Ok((parsed, measure, not_null, results_need_database))
    }

    /// What juniper finds wrong only when it has the variables.
    #[must_use]
    pub fn refusal(&self, error: &GraphQLError, variables: &Variables) -> Refusal {
        let mut errors = errors::of_variables(error, variables);
        self.shifts.relocate(&mut errors);
        if self.hints {
            hints::add(&mut errors, &self.parsed.borrow_owner().schema, &self.measure.variables);
        }
        Refusal::Invalid(errors)
    }

    /// Puts the locations of the errors of fields where they are in the document that the client sent.
    pub fn relocate(&self, errors: &mut serde_json::Value) {
        self.shifts.relocate(errors);
    }

    /// What it takes to keep it, in bytes of text.
    fn weight(&self) -> usize {
        self.own_weight() + self.extra_weight
    }

    /// The same without what is executed instead of it.
    fn own_weight(&self) -> usize {
        self.parsed.borrow_owner().text.len() + FIELD_WEIGHT * Cost::count(&self.measure.cost)
    }

    /// The variables that a subscription keeps as long as it is open: those that its document has.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if that is too much to be kept.
    pub fn kept(&self, mut variables: Variables) -> Result<Variables, Refusal> {
        if self.parsed.borrow_owner().text.len() > MAX_SUBSCRIPTION_BYTES {
            let why = format!("the document of a subscription has at most {MAX_SUBSCRIPTION_BYTES} bytes");
            return Err(too_complex(why));
        }
        variables.retain(|name, _| self.measure.variables.iter().any(|(known, ..)| known == name));
        if variables.values().map(weight).sum::<usize>() > MAX_SUBSCRIPTION_BYTES {
            let why = format!("the variables of a subscription have at most {MAX_SUBSCRIPTION_BYTES} bytes");
            return Err(too_complex(why));
        }
        Ok(variables)
    }

    /// Borrows the memory for its syntax tree, for as long as a subscription of it is open.
    ///
    /// # Errors
    /// `UNAVAILABLE` if this client, or all of them, have too many different documents.
    pub fn borrow(&self, memory: &Arc<Memory>, party: Party) -> Result<Arc<Lease>, Refusal> {
        self.memory.borrow(self.own_weight(), memory, party)
    }

    /// Refuses what would cost too much with these variables.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX`.
    pub fn check_cost(&self, variables: &Variables, limits: &Limits) -> Result<(), Refusal> {
        let cost = Cost::of_all(&self.measure.cost, variables);
        if cost <= limits.cost {
            return Ok(());
        }
        let dearest = Cost::dearest(&self.measure.cost, variables);
        let advice = match dearest.as_slice() {
            [] => "ask for fewer fields".to_owned(),
            lists => format!("most of it for \"{}\"; ask for shorter lists", lists.join(".")),
        };
        Err(too_complex(format!("the operation costs {cost}, more than {}: {advice}", limits.cost)))
    }
}

/// Why a document is not executed.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// It does not parse or validate; the `errors` of the response.
    Invalid(serde_json::Value),
    /// It may not be executed.
    Refused(Error),
    /// The request names a persisted query, which this server keeps none of, and has no document.
    PersistedQuery,
}

impl Refusal {
    /// The error, if the document itself is fine.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Invalid(_) | Self::PersistedQuery => None,
            Self::Refused(error) => Some(error),
        }
    }

    /// The code of its first error.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Invalid(errors) => errors[0]["extensions"]["code"].as_str().unwrap_or_default(),
            Self::PersistedQuery => "PERSISTED_QUERY_NOT_SUPPORTED",
            Self::Refused(error) => error.code(),
        }
    }

    /// The `errors` of the response.
    #[must_use]
    pub fn errors(&self) -> serde_json::Value {
        match self {
            Self::Invalid(errors) => errors.clone(),
            Self::PersistedQuery => errors::persisted_query(),
            Self::Refused(error) => serde_json::json!([errors::to_json(error)]),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Looks at the words of a document one by one, before any of them means something.
fn check_words(text: &str, limits: &Limits) -> Result<(), Refusal> {
    let mut directives = 0;
    for token in Lexer::new(text).take(limits.tokens) {
        match token {
            Ok(token) => match token.item {
                Token::Name(name) if name.len() > MAX_NAME => {
                    return Err(too_complex(format!("the document has a name of more than {MAX_NAME} letters")));
                }
                Token::At => directives += 1,
                _ => {}
            },
            // The parser says what is wrong.
            Err(_) => break,
        }
    }
    if directives > limits.directives {
        return Err(too_complex(format!("the document has more than {} directives", limits.directives)));
    }
    Ok(())
}

/// juniper takes it for granted that the types of variables are there, before it has looked.
fn check_types(document: &[Definition<'_, Scalar>], schema: &Schema) -> Result<(), Refusal> {
    let operations = document.iter().filter_map(|definition| match definition {
        Definition::Operation(operation) => operation.item.variables_definition.as_ref(),
        Definition::Fragment(_) => None,
    });
    let mut types = operations.flat_map(|variables| &variables.item.items).map(|(_, variable)| &variable.var_type);
    match types.find(|of| schema.schema.concrete_type_by_name(of.item.innermost_name()).is_none()) {
        Some(of) => {
            let message = format!("Unknown type \"{}\"", of.item.innermost_name());
            Err(Refusal::Invalid(errors::of_rule_at(&message, of.span.start.line() + 1, of.span.start.column() + 1)))
        }
        None => Ok(()),
    }
}

fn unknown_operation(name: &str) -> Refusal {
    let name: String = name.chars().take(MAX_NAME).collect();
    Refusal::Invalid(errors::of_rule(&format!("Unknown operation \"{name}\": the document has none of this name.")))
}

fn invalid(error: &GraphQLError, limits: &Limits) -> Refusal {
    let GraphQLError::ParseError(broken) = error else {
        return Refusal::Invalid(errors::of_document(error, limits.hints));
    };
    match broken.item {
        ParseError::DepthLimitExceeded(_) | ParseError::TokenLimitExceeded(_) | ParseError::FieldLimitExceeded(_) => {
            too_complex(broken.item.to_string())
        }
        _ => Refusal::Invalid(errors::of_document(error, limits.hints)),
    }
}

/// About what a value takes in memory, in bytes.
fn weight(value: &InputValue<Scalar>) -> usize {
    VALUE_WEIGHT
        + match value {
            InputValue::Null => 0,
            InputValue::Scalar(Scalar::String(text)) => text.len(),
            InputValue::Scalar(Scalar::Json(json)) => json.as_str().len(),
            InputValue::Scalar(_) => 0,
            InputValue::Enum(name) | InputValue::Variable(name) => name.len(),
            InputValue::List(items) => items.iter().map(|item| weight(&item.item)).sum(),
            InputValue::Object(fields) => {
                fields.iter().map(|(name, value)| name.item.len() + weight(&value.item)).sum()
            }
        }
}

fn too_complex(message: String) -> Refusal {
    Refusal::Refused(Error::TooComplex(message))
}

fn half(digest: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

type Name = (String, Option<String>);

/// The documents that were used of late.
#[derive(Default)]
pub struct Documents(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    operations: HashMap<Name, Arc<Operation>>,
    order: VecDeque<Name>,
    weight: usize,
}

impl Documents {
    /// The operation of this name in this document.
    ///
    /// # Errors
    /// What is wrong with the document.
    pub fn operation(
        &self,
        schemas: &Schemas,
        limits: &Limits,
        text: &str,
        name: Option<&str>,
    ) -> Result<Arc<Operation>, Refusal> {
        let key = (text.to_owned(), name.map(str::to_owned));
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).operations.get(&key) {
            return Ok(Arc::clone(known));
        }
        let operation = Arc::new(Operation::parse(schemas, limits, text, name)?);
        if text.len() <= MAX_KEPT_BYTES {
            self.keep(key, Arc::clone(&operation));
        }
        Ok(operation)
    }

    fn keep(&self, key: Name, operation: Arc<Operation>) {
        let weight = operation.weight();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.operations.insert(key.clone(), operation).is_none() {
            kept.order.push_back(key);
            kept.weight += weight;
        }
        while (kept.order.len() > KEPT || kept.weight > MAX_KEPT_WEIGHT)
            && let Some(oldest) = kept.order.pop_front()
        {
            let removed = kept.operations.remove(&oldest).map_or(0, |operation| operation.weight());
            kept.weight -= removed;
        }
    }
}

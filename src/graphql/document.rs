//! The documents that clients send: parsing, limits, validation, and a cache of the result.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use juniper::parser::{Lexer, Token};
use juniper::{Definition, GraphQLError, InputValue, OperationType, ParseError};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::complexity::{Analysis, OperationLimits};
use super::cost::Cost;
use super::executable::{DocumentSource, Executable, ParsedDocument, Schemas, Validated};
use super::field_merging::ConditionValues;
use super::literals::{self, ColumnShifts};
use super::refusal::Rejection;
use super::scalar::Scalar;
use super::schema::Schema;
use super::tree_memory::TreeMemory;
use super::values::Variables;
use super::variables::{self, Shape};
use super::{errors, nul_characters, null_variables, repeated_directives, result_fields, suggestions};
use crate::error::Error;
use crate::model::{CapacityKey, MemoryBudget, MemoryLease};

/// The weight of a field after the expansion of fragments, in bytes of text.
const FIELD_WEIGHT: usize = 4;
/// Maximum size of a subscription's document, and of its variables, in bytes. Both stay in memory while it is open.
const MAX_SUBSCRIPTION_BYTES: usize = 16 << 10;
/// The memory for a value of a variable without its text, in bytes.
const VALUE_WEIGHT: usize = 64;
/// Maximum number of cached executables of a document, for different values of the variables in `@skip` and `@include`.
const MAX_EXECUTABLES: usize = 4;
/// Maximum length of a name, in bytes. Validation errors quote a name many times.
const MAX_NAME_BYTES: usize = 200;

/// One operation of a document that passed validation.
pub struct ParsedOperation {
    parsed: ParsedDocument,
    /// The `operationName` of the request.
    name: Option<String>,
    /// A hash of the document and the operation name.
    digest: [u8; 16],
    analysis: Analysis,
    /// The executables that replace the document, by the values of the variables in `@skip` and `@include`.
    executables: Mutex<VecDeque<(ConditionValues, Arc<Executable>)>>,
    /// The weight of the executables in the cache, in bytes of text.
    executables_weight: usize,
    /// How the JSON values of the variables are read.
    shapes: Vec<(String, Shape)>,
    /// The nullable variables that the operation uses where `null` is not allowed.
    non_null_variables: BTreeSet<String>,
    /// Maps error locations to the document that the client sent.
    shifts: ColumnShifts,
    /// Whether errors may suggest names of the schema.
    hints: bool,
    /// Whether showing the result of a mutation may need the database.
    results_need_database: bool,
    /// Whether an earlier execution needed the database to render an item of the subscription.
    pub needs_database: AtomicBool,
    /// Whether an earlier execution of this subscription depended on the viewer.
    pub is_personal: AtomicBool,
    memory: TreeMemory,
}

impl ParsedOperation {
    /// The operation in the form that juniper executes.
    #[must_use]
    pub fn validated(&self) -> &Validated<'_> {
        self.parsed.borrow_dependent()
    }

    /// The type of the operation: query, mutation or subscription.
    #[must_use]
    pub fn kind(&self) -> OperationType {
        self.validated().operation_type()
    }

    /// The name of the operation in the document.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.analysis.name.as_deref()
    }

    /// Whether showing the result of a mutation may need the database.
    #[must_use]
    pub fn results_need_database(&self) -> bool {
        self.results_need_database
    }

    /// Whether anonymous clients may execute the operation if the server requires sign-in. This is true if all root
    /// fields are introspection, or sign a user in.
    #[must_use]
    pub fn is_allowed_anonymously(&self) -> bool {
        const OPEN: [&str; 8] = [
            "login",
            "register",
            "renewSession",
            "resetPassword",
            "requestPasswordReset",
            "__schema",
            "__type",
            "__typename",
        ];
        self.analysis.roots.iter().all(|root| OPEN.contains(&root.as_str()))
    }

    /// A hash of everything that a rendered item depends on besides its event: the document, and the variables below
    /// the root field. The arguments of the root field do not matter, so subscriptions with different `after` cursors
    /// share rendered items.
    #[must_use]
    pub fn selection(&self, variables: &Variables) -> [u8; 16] {
        if self.analysis.inner_variables.is_empty() {
            return self.digest;
        }
        let mut hasher = Sha256::new_with_prefix(self.digest);
        for name in &self.analysis.inner_variables {
            let value = variables.get(name).map(|value| serde_json::to_string(value).unwrap_or_default());
            hasher.update(format!("{name:?}={value:?};"));
        }
        first_half(&hasher.finalize())
    }

    /// Reads the variables of the operation from JSON.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` naming `variables`, or a variable that is `null` where the operation does not allow it.
    pub fn variables(&self, json: Option<&RawValue>) -> Result<Variables, Rejection> {
        let variables = variables::read(&self.shapes, json).map_err(|message| Error::input("variables", message))?;
        match self.non_null_variables.iter().find(|name| variables.get(name.as_str()).is_some_and(InputValue::is_null))
        {
            Some(name) => {
                let message = format!("Variable \"${name}\" must not be null where the operation uses it");
                Err(Error::input(name.clone(), message).into())
            }
            None => Ok(variables),
        }
    }

    /// Parses, analyzes and validates a document. The time of the checks before validation is bounded for any document.
    /// The time of validation is not, so validation comes last.
    pub(super) fn parse(
        schemas: &Schemas,
        limits: &OperationLimits,
        text: &str,
        name: Option<&str>,
    ) -> Result<Self, Rejection> {
        check_tokens(text, limits)?;
        let digest = first_half(&Sha256::digest(format!("{name:?}{text}")));
        let schema = &schemas.client;
        let rewritten = literals::rewrite(text, schema, &schemas.untyped, limits.tokens).map_err(Rejection::Invalid)?;
        let (text, shifts) = match rewritten {
            Some(rewritten) => (Cow::Owned(rewritten.text), rewritten.shifts),
            None => (Cow::Borrowed(text), ColumnShifts::default()),
        };
        let parsed = Self::parse_rewritten(schema, limits, &text, name);
        let (parsed, analysis, non_null_variables, results_need_database) = parsed.map_err(|mut refusal| {
            if let Rejection::Invalid(errors) = &mut refusal {
                shifts.relocate(errors);
                if limits.hints {
                    suggestions::add(errors, schema, &[]);
                }
            }
            refusal
        })?;
        let shape = |(name, of, lists): &(String, String, usize)| (name.clone(), Shape::of(schema, of, *lists));
        let shapes = analysis.variables.iter().map(shape).collect();
        let (needs_database, is_personal) = (AtomicBool::new(false), AtomicBool::new(false));
        let (hints, memory, executables) = (limits.hints, TreeMemory::default(), Mutex::default());
        let name = name.map(str::to_owned);
        let mut operation = Self {
            parsed,
            name,
            digest,
            analysis,
            executables,
            executables_weight: 0,
            shapes,
            non_null_variables,
            shifts,
            hints,
            results_need_database,
            needs_database,
            is_personal,
            memory,
        };
        operation.executables_weight = operation.weigh_executables(schemas)?;
        Ok(operation)
    }

    /// The weight of the executables in the cache, in bytes of text. A document without conditions has one executable,
    /// which is created here. Otherwise the weight is an estimate for the number of executables that may be cached.
    fn weigh_executables(&self, schemas: &Schemas) -> Result<usize, Rejection> {
        let conditions = u32::try_from(self.analysis.conditions.len()).ok();
        let combinations = conditions.and_then(|count| 2_usize.checked_pow(count));
        let count = combinations.map_or(MAX_EXECUTABLES, |combinations| combinations.min(MAX_EXECUTABLES));
        if !self.has_executable() {
            return Ok(0);
        }
        if count > 1 {
            return Ok(count * self.own_weight());
        }
        let executable = self.executable(schemas, &Variables::default())?;
        Ok(executable.map_or(0, |executable| executable.bytes()))
    }

    /// Whether an executable replaces the document: if fields must be merged, and for every subscription.
    fn has_executable(&self) -> bool {
        self.analysis.is_repetitive || self.kind() == OperationType::Subscription
    }

    /// The executable that replaces the document for these variables; `None` if juniper executes the document itself.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the merged document is too large.
    pub fn executable(&self, schemas: &Schemas, variables: &Variables) -> Result<Option<Arc<Executable>>, Rejection> {
        if !self.has_executable() {
            return Ok(None);
        }
        let condition = |(name, default): (&String, &bool)| match variables.get(name) {
            Some(InputValue::Scalar(Scalar::Boolean(is_true))) => (name.clone(), *is_true),
            _ => (name.clone(), *default),
        };
        let conditions: ConditionValues = self.analysis.conditions.iter().map(condition).collect();
        let cached = |cache: &VecDeque<(ConditionValues, Arc<Executable>)>| {
            cache.iter().find(|(values, _)| *values == conditions).map(|(_, executable)| Arc::clone(executable))
        };
        if let Some(executable) = cached(&self.executables.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(Some(executable));
        }
        let document = (self.parsed.borrow_owner().text.as_str(), self.name.as_deref());
        let executable = Executable::new(schemas, document, (self.kind(), self.analysis.is_repetitive), &conditions)?;
        let executable = Arc::new(executable);
        let mut cache = self.executables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(executable) = cached(&cache) {
            return Ok(Some(executable));
        }
        // The weight is an estimate if the document has conditions. The cached executables must not exceed it.
        let max_bytes = if self.analysis.conditions.is_empty() { usize::MAX } else { self.executables_weight };
        let bytes = executable.bytes();
        let mut used: usize = cache.iter().map(|(_, executable)| executable.bytes()).sum();
        while (cache.len() >= MAX_EXECUTABLES || used.saturating_add(bytes) > max_bytes)
            && let Some((_, oldest)) = cache.pop_front()
        {
            used -= oldest.bytes();
        }
        if bytes <= max_bytes {
            cache.push_back((conditions, Arc::clone(&executable)));
        }
        Ok(Some(executable))
    }

    /// Parses, analyzes and validates a document whose literals juniper can parse.
    fn parse_rewritten(
        schema: &Arc<Schema>,
        limits: &OperationLimits,
        text: &str,
        name: Option<&str>,
    ) -> Result<(ParsedDocument, Analysis, BTreeSet<String>, bool), Rejection> {
        let (analysis, non_null_variables, repeated, results_need_database) = {
            let document = juniper::parser::parse_document_source(text, &schema.schema);
            let document = document.map_err(|error| invalid(&GraphQLError::ParseError(error), limits))?;
            check_variable_types(&document, schema)?;
            nul_characters::check_document(text, &document)?;
            let analysis = Analysis::of(&document, name, limits).map_err(too_complex)?;
            let results_need_database = result_fields::need_database(&document, schema);
            let non_null_variables = null_variables::non_null_variables(&document, name, schema);
            (
                analysis,
                non_null_variables,
                repeated_directives::directive_errors(&document, schema),
                results_need_database,
            )
        };
        let source = DocumentSource { schema: Arc::clone(schema), text: text.to_owned() };
        let parsed = catch_unwind(AssertUnwindSafe(|| {
            ParsedDocument::try_new(source, |source| Validated::new(&source.text, name, &source.schema))
        }));
        let parsed = parsed.map_err(|_| Error::internal("validating a document failed"))?;
        let parsed = parsed.map_err(|error| match (error, name) {
            (GraphQLError::UnknownOperationName, Some(name)) => unknown_operation(name),
            (error, _) => invalid(&error, limits),
        })?;
        if let Some(errors) = repeated {
            return Err(Rejection::Invalid(errors));
        }
        let non_null_variables = non_null_variables.map_err(Rejection::Invalid)?;
        if parsed.borrow_dependent().operation_type() == OperationType::Subscription && analysis.root_keys != 1 {
            return Err(Rejection::Invalid(errors::rule_error("A subscription must select exactly one root field.")));
        }
        if parsed.borrow_dependent().operation_type() == OperationType::Subscription
            && analysis.roots[0].starts_with("__")
        {
            let message = "A subscription must not select an introspection field as its root field.";
            return Err(Rejection::Invalid(errors::rule_error(message)));
        }
        Ok((parsed, analysis, non_null_variables, results_need_database))
    }

    /// Converts an error that juniper reports about the values of variables.
    #[must_use]
    pub fn refusal(&self, error: &GraphQLError, variables: &Variables) -> Rejection {
        let mut errors = errors::variable_errors(error, variables);
        self.shifts.relocate(&mut errors);
        if self.hints {
            suggestions::add(&mut errors, &self.parsed.borrow_owner().schema, &self.analysis.variables);
        }
        Rejection::Invalid(errors)
    }

    /// Changes the locations of field errors to those in the document that the client sent.
    pub fn relocate(&self, errors: &mut serde_json::Value) {
        self.shifts.relocate(errors);
    }

    /// The weight of the operation in the cache, in bytes of text.
    pub(super) fn weight(&self) -> usize {
        self.own_weight() + self.executables_weight
    }

    /// The weight of the operation without its executables, in bytes of text.
    fn own_weight(&self) -> usize {
        self.parsed.borrow_owner().text.len() + FIELD_WEIGHT * Cost::count(&self.analysis.cost)
    }

    /// Checks the size of a subscription, and returns the variables to keep while it is open: those that the document
    /// declares.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the document or the variables are larger than 16 KiB.
    pub fn kept(&self, mut variables: Variables) -> Result<Variables, Rejection> {
        if self.parsed.borrow_owner().text.len() > MAX_SUBSCRIPTION_BYTES {
            let message = format!("the document of a subscription must have at most {MAX_SUBSCRIPTION_BYTES} bytes");
            return Err(too_complex(message));
        }
        variables.retain(|name, _| self.analysis.variables.iter().any(|(known, ..)| known == name));
        if variables.values().map(value_bytes).sum::<usize>() > MAX_SUBSCRIPTION_BYTES {
            let message = format!("the variables of a subscription must have at most {MAX_SUBSCRIPTION_BYTES} bytes");
            return Err(too_complex(message));
        }
        Ok(variables)
    }

    /// Leases the memory for the syntax tree of the document. An open subscription holds the lease.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the open subscriptions of this client, or of all clients, have too many different documents.
    pub fn borrow(&self, memory: &Arc<MemoryBudget>, party: CapacityKey) -> Result<Arc<MemoryLease>, Rejection> {
        self.memory.borrow(self.own_weight(), memory, party)
    }

    /// Checks the cost of the operation with these variables.
    ///
    /// # Errors
    /// `QUERY_TOO_COMPLEX` if the cost is above the limit.
    pub fn check_cost(&self, variables: &Variables, limits: &OperationLimits) -> Result<(), Rejection> {
        let cost = Cost::total(&self.analysis.cost, variables);
        if cost <= limits.cost {
            return Ok(());
        }
        let lists = Cost::most_expensive_lists(&self.analysis.cost, variables);
        let advice = match lists.as_slice() {
            [] => "ask for fewer fields".to_owned(),
            lists => format!("most of it for \"{}\"; ask for shorter lists", lists.join(".")),
        };
        Err(too_complex(format!("the operation costs {cost}, more than {}: {advice}", limits.cost)))
    }
}

/// Enforces the lexical limits of a document before it is parsed: the length of names and the number of directives.
fn check_tokens(text: &str, limits: &OperationLimits) -> Result<(), Rejection> {
    let mut directives = 0;
    for token in Lexer::new(text).take(limits.tokens) {
        match token {
            Ok(token) => match token.item {
                Token::Name(name) if name.len() > MAX_NAME_BYTES => {
                    let message = format!("the document has a name of more than {MAX_NAME_BYTES} characters");
                    return Err(too_complex(message));
                }
                Token::At => directives += 1,
                _ => {}
            },
            // The parser reports the invalid token.
            Err(_) => break,
        }
    }
    if directives > limits.directives {
        return Err(too_complex(format!("the document has more than {} directives", limits.directives)));
    }
    Ok(())
}

/// Checks that the types of all variables exist. juniper relies on that before its own validation checks it.
fn check_variable_types(document: &[Definition<'_, Scalar>], schema: &Schema) -> Result<(), Rejection> {
    let operations = document.iter().filter_map(|definition| match definition {
        Definition::Operation(operation) => operation.item.variables_definition.as_ref(),
        Definition::Fragment(_) => None,
    });
    let mut types = operations.flat_map(|variables| &variables.item.items).map(|(_, variable)| &variable.var_type);
    match types.find(|of| schema.schema.concrete_type_by_name(of.item.innermost_name()).is_none()) {
        Some(of) => {
            let message = format!("Unknown type \"{}\"", of.item.innermost_name());
            Err(Rejection::Invalid(errors::rule_error_at(
                &message,
                of.span.start.line() + 1,
                of.span.start.column() + 1,
            )))
        }
        None => Ok(()),
    }
}

fn unknown_operation(name: &str) -> Rejection {
    let name: String = name.chars().take(MAX_NAME_BYTES).collect();
    let message = format!("Unknown operation \"{name}\": the document has no operation with this name.");
    Rejection::Invalid(errors::rule_error(&message))
}

fn invalid(error: &GraphQLError, limits: &OperationLimits) -> Rejection {
    let GraphQLError::ParseError(parse_error) = error else {
        return Rejection::Invalid(errors::document_errors(error, limits.hints));
    };
    match parse_error.item {
        ParseError::DepthLimitExceeded(_) | ParseError::TokenLimitExceeded(_) | ParseError::FieldLimitExceeded(_) => {
            too_complex(parse_error.item.to_string())
        }
        _ => Rejection::Invalid(errors::document_errors(error, limits.hints)),
    }
}

/// The estimated memory of an input value, in bytes.
fn value_bytes(value: &InputValue<Scalar>) -> usize {
    VALUE_WEIGHT
        + match value {
            InputValue::Null => 0,
            InputValue::Scalar(Scalar::String(text)) => text.len(),
            InputValue::Scalar(Scalar::Json(json)) => json.as_str().len(),
            InputValue::Scalar(_) => 0,
            InputValue::Enum(name) | InputValue::Variable(name) => name.len(),
            InputValue::List(items) => items.iter().map(|item| value_bytes(&item.item)).sum(),
            InputValue::Object(fields) => {
                fields.iter().map(|(name, value)| name.item.len() + value_bytes(&value.item)).sum()
            }
        }
}

fn too_complex(message: String) -> Rejection {
    Rejection::Refused(Error::TooComplex(message))
}

/// The first 16 bytes of a SHA-256 digest.
fn first_half(digest: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

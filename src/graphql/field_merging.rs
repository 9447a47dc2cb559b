//! Merges the fields of an operation that have one response key, as `CollectFields` and `MergeSelectionSets` of the
//! GraphQL specification do. juniper does not merge them: it executes each occurrence of a field, also of a mutation.
//!
//! The result is a new document. It contains no fragment definitions, because their selections replace their spreads.
//! It contains only the fields that `@skip` and `@include` leave, so it holds for one set of values of their variables.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use juniper::meta::MetaType;
use juniper::parser::SourcePosition;
use juniper::{Definition, InputValue, OperationType, SchemaType, Span, Spanning};
use serde_json::Value as Json;

use super::scalar::Scalar;
use super::source::SourceText;
use super::values::{Argument, OperationNode, Selection};

/// A merged document may always have this many bytes, besides a multiple of the original document's length.
const BASE_BYTES: usize = 64 << 10;
/// A merged document may be longer than the original by this factor, besides [`BASE_BYTES`].
const GROWTH_FACTOR: usize = 4;
/// A selection without effect. GraphQL forbids an empty selection set, so it stands for one.
const EMPTY_SELECTION: &str = "__typename @skip(if: true)";
/// The same for the root of a subscription, where juniper does not allow `__typename`.
const EMPTY_SUBSCRIPTION_SELECTION: &str = "... @skip(if: true) {__typename}";

/// The purpose of a merged document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergedKind {
    /// A query or a mutation.
    Response,
    /// A subscription with its root field and the arguments of this field. It opens the subscription.
    SubscriptionStart,
    /// A query with the root field of a subscription, without the arguments of this field. It renders one item.
    SubscriptionItem,
}

/// The values of the variables that `@skip` and `@include` use.
pub type ConditionValues = HashMap<String, bool>;

/// A merged document with one operation.
pub struct MergedDocument {
    pub text: String,
    pub source_map: SourceMap,
}

/// Maps lines of a merged document to locations in the original document. Each field has its own line. Sorted by line.
#[derive(Debug, Default)]
pub struct SourceMap(Vec<LineMapping>);

/// The original location of the field that a line of the merged document contains.
#[derive(Debug)]
struct LineMapping {
    /// The line in the merged document, counted from 1.
    merged_line: usize,
    /// The line in the original document, counted from 0.
    line: usize,
    /// The column in the original document, in characters, counted from 0.
    column: usize,
}

impl SourceMap {
    /// Replaces the locations of errors by those in the original document.
    pub fn relocate(&self, errors: &mut Json) {
        let locations = errors.as_array_mut().into_iter().flatten().filter_map(|error| error.get_mut("locations"));
        for location in locations.filter_map(Json::as_array_mut).flatten() {
            let Some(line) = location["line"].as_u64() else { continue };
            let end = self.0.partition_point(|mapping| mapping.merged_line <= line as usize);
            let Some(mapping) = end.checked_sub(1).and_then(|last| self.0.get(last)) else { continue };
            *location = serde_json::json!({ "line": mapping.line + 1, "column": mapping.column + 1 });
        }
    }
}

/// Merges selections with the same response key in the operation named `name`, so that juniper executes each one once.
/// `text` is the text of `document`, which must have passed validation.
///
/// # Errors
/// A message for the client, if the merged document would be too large.
pub fn merge_document(
    (text, document): (&str, &[Definition<'_, Scalar>]),
    name: Option<&str>,
    schema: &SchemaType<Scalar>,
    conditions: &ConditionValues,
    kind: MergedKind,
) -> Result<MergedDocument, String> {
    let mut fragments = HashMap::new();
    let mut selected = None;
    for definition in document {
        match definition {
            Definition::Fragment(fragment) => {
                let fragment = &fragment.item;
                let body = (fragment.type_condition.item, fragment.selection_set.as_slice());
                fragments.insert(fragment.name.item, body);
            }
            Definition::Operation(operation) => {
                if name.is_none() || operation.item.name.as_ref().map(|name| name.item) == name {
                    selected = Some(operation);
                }
            }
        }
    }
    let operation = selected.ok_or("the document has no operation with this name")?;
    let max_bytes = text.len() * GROWTH_FACTOR + BASE_BYTES;
    let writer = DocumentWriter {
        source: SourceText::new(text),
        schema,
        fragments,
        conditions,
        kind,
        out: String::new(),
        line: 0,
        mappings: Vec::new(),
        variables: BTreeSet::new(),
        max_bytes,
    };
    writer.operation(operation)
}

/// One occurrence of a field in the original document. juniper does not export the type of a field.
struct Field<'d, 'a> {
    key: &'a str,
    name: &'a str,
    start: SourcePosition,
    arguments: Option<(Span, &'d [Argument<'a>])>,
    selections: &'d [Selection<'a>],
}

/// The fields of one selection set, grouped by response key, in the order of the response.
#[derive(Default)]
struct CollectedFields<'d, 'a> {
    /// The index in `groups` of each response key.
    indices: HashMap<&'a str, usize>,
    groups: Vec<Vec<Field<'d, 'a>>>,
    /// Whether a fragment is spread more than once. Without merging, its fields would be executed again.
    has_repeated_fragment: bool,
}

impl<'d, 'a> CollectedFields<'d, 'a> {
    fn add(&mut self, field: Field<'d, 'a>) {
        let next = self.groups.len();
        match *self.indices.entry(field.key).or_insert(next) {
            index if index < next => self.groups[index].push(field),
            _ => self.groups.push(vec![field]),
        }
    }

    /// Whether a response key occurs more than once.
    fn is_repetitive(&self) -> bool {
        self.has_repeated_fragment || self.groups.iter().any(|group| group.len() > 1)
    }
}

/// Writes the text of a merged document.
struct DocumentWriter<'w, 'd, 'a> {
    source: SourceText<'w>,
    schema: &'w SchemaType<Scalar>,
    /// The type condition and the selections of each fragment, by name.
    fragments: HashMap<&'a str, (&'a str, &'d [Selection<'a>])>,
    conditions: &'w ConditionValues,
    kind: MergedKind,
    out: String,
    /// The number of line breaks in `out`.
    line: usize,
    mappings: Vec<LineMapping>,
    /// The variables that the merged document uses.
    variables: BTreeSet<String>,
    max_bytes: usize,
}

/// Whether `@skip` and `@include` leave a selection in the document.
/// A macro, because juniper does not export the type of a directive.
macro_rules! is_included {
    ($conditions:expr, $selection:expr) => {
        $selection.directives.iter().flatten().all(|directive| {
            let arguments = directive.item.arguments.iter().flat_map(|arguments| &arguments.item.items);
            let condition = arguments.map(|(_, value)| &value.item).next();
            match (directive.item.name.item, condition) {
                ("skip", Some(condition)) => !is_true(condition, $conditions),
                ("include", Some(condition)) => is_true(condition, $conditions),
                _ => true,
            }
        })
    };
}

/// The value of the argument `if` of a directive.
fn is_true(condition: &InputValue<Scalar>, conditions: &ConditionValues) -> bool {
    match condition {
        InputValue::Scalar(Scalar::Boolean(is_true)) => *is_true,
        InputValue::Variable(name) => conditions.get(name).copied().unwrap_or(false),
        _ => false,
    }
}

impl<'d, 'a> DocumentWriter<'_, 'd, 'a> {
    fn operation(mut self, operation: &'d Spanning<OperationNode<'a>>) -> Result<MergedDocument, String> {
        let (line, column) = (operation.span.start.line(), operation.span.start.column());
        let operation = &operation.item;
        let root_type = match operation.operation_type {
            OperationType::Query => Some(self.schema.concrete_query_type()),
            OperationType::Mutation => self.schema.concrete_mutation_type(),
            OperationType::Subscription => self.schema.concrete_subscription_type(),
        };
        let collected = self.collect(&[&operation.selection_set], type_name(root_type));
        self.fields(&collected, root_type, true)?;
        let keyword = match (self.kind, operation.operation_type) {
            (MergedKind::SubscriptionItem, _) | (_, OperationType::Query) => "query",
            (_, OperationType::Mutation) => "mutation",
            (_, OperationType::Subscription) => "subscription",
        };
        let mut header = keyword.to_owned();
        let declared = operation.variables_definition.iter().flat_map(|variables| &variables.item.items);
        let mut separator = "(";
        for (name, variable) in declared.filter(|(name, _)| self.variables.contains(name.item)) {
            let _ = write!(header, "{separator}${}: {}", name.item, variable.var_type.item);
            if let Some(default) = &variable.default_value {
                header.push_str(" = ");
                header.push_str(self.source.of(default.span));
            }
            separator = ", ";
        }
        if separator != "(" {
            header.push(')');
        }
        let lines = newlines(&header);
        self.mappings.iter_mut().for_each(|mapping| mapping.merged_line += lines);
        let mut mappings = vec![LineMapping { merged_line: 1, line, column }];
        mappings.append(&mut self.mappings);
        Ok(MergedDocument { text: header + &self.out, source_map: SourceMap(mappings) })
    }

    /// `CollectFields` of the specification: the fields of these selection sets, for an object of type `object`.
    fn collect(&self, sets: &[&'d [Selection<'a>]], object: &str) -> CollectedFields<'d, 'a> {
        let (mut collected, mut visited) = (CollectedFields::default(), HashSet::new());
        for selections in sets {
            self.collect_into(&mut collected, &mut visited, selections, object);
        }
        collected
    }

    fn collect_into(
        &self,
        collected: &mut CollectedFields<'d, 'a>,
        visited: &mut HashSet<&'a str>,
        selections: &'d [Selection<'a>],
        object: &str,
    ) {
        for selection in selections {
            match selection {
                Selection::Field(_) => {
                    if let Some(field) = included_field(selection, self.conditions) {
                        collected.add(field);
                    }
                }
                Selection::FragmentSpread(spread) if is_included!(self.conditions, spread.item) => {
                    let name = spread.item.name.item;
                    if !visited.insert(name) {
                        collected.has_repeated_fragment = true;
                    } else if let Some((condition, selections)) = self.fragments.get(name)
                        && self.schema.is_named_subtype(object, condition)
                    {
                        self.collect_into(collected, visited, selections, object);
                    }
                }
                Selection::InlineFragment(inline) if is_included!(self.conditions, inline.item) => {
                    let condition = inline.item.type_condition.as_ref();
                    if condition.is_none_or(|condition| self.schema.is_named_subtype(object, condition.item)) {
                        self.collect_into(collected, visited, &inline.item.selection_set, object);
                    }
                }
                Selection::FragmentSpread(_) | Selection::InlineFragment(_) => {}
            }
        }
    }

    /// Writes the merged selection sets of one field, whose type is `of`.
    fn selections(&mut self, sets: &[&'d [Selection<'a>]], of: Option<&MetaType<Scalar>>) -> Result<(), String> {
        let Some(interface) = of.filter(|of| of.is_abstract()) else {
            let collected = self.collect(sets, type_name(of));
            return self.fields(&collected, of, false);
        };
        let objects = self.schema.possible_types(interface);
        let by_object: Vec<_> = objects.iter().map(|object| self.collect(sets, type_name(Some(*object)))).collect();
        self.out.push('{');
        let start = self.out.len();
        if by_object.iter().any(CollectedFields::is_repetitive) {
            let non_empty = objects.iter().zip(&by_object).filter(|(_, collected)| !collected.groups.is_empty());
            for (object, collected) in non_empty {
                self.type_condition(type_name(Some(*object)));
                self.fields(collected, Some(*object), false)?;
            }
        } else {
            for selections in sets {
                self.unmerged_selections(selections, interface)?;
            }
        }
        self.close_selection_set(start);
        Ok(())
    }

    /// Writes selections on an interface as they are in the original document. No object has a response key twice.
    fn unmerged_selections(&mut self, selections: &'d [Selection<'a>], of: &MetaType<Scalar>) -> Result<(), String> {
        for selection in selections {
            let (condition, inner) = match selection {
                Selection::Field(_) => {
                    if let Some(field) = included_field(selection, self.conditions) {
                        self.field(&[field], Some(of), false)?;
                    }
                    continue;
                }
                Selection::FragmentSpread(spread) if is_included!(self.conditions, spread.item) => {
                    let Some((condition, inner)) = self.fragments.get(spread.item.name.item) else { continue };
                    (*condition, *inner)
                }
                Selection::InlineFragment(inline) if is_included!(self.conditions, inline.item) => {
                    let condition = inline.item.type_condition.as_ref().map_or(type_name(Some(of)), |name| name.item);
                    (condition, inline.item.selection_set.as_slice())
                }
                Selection::FragmentSpread(_) | Selection::InlineFragment(_) => continue,
            };
            if condition == type_name(Some(of)) {
                self.unmerged_selections(inner, of)?;
            } else {
                self.type_condition(condition);
                self.selections(&[inner], self.schema.concrete_type_by_name(condition))?;
            }
        }
        Ok(())
    }

    /// Writes a selection set with these fields of an object of type `of`. `is_root` is true for root fields.
    fn fields(
        &mut self,
        collected: &CollectedFields<'d, 'a>,
        of: Option<&MetaType<Scalar>>,
        is_root: bool,
    ) -> Result<(), String> {
        self.out.push('{');
        let start = self.out.len();
        for group in &collected.groups {
            self.field(group, of, is_root)?;
        }
        self.close_selection_set(start);
        Ok(())
    }

    /// Writes one field for all its occurrences. Its location is that of the first one.
    fn field(&mut self, group: &[Field<'d, 'a>], of: Option<&MetaType<Scalar>>, is_root: bool) -> Result<(), String> {
        let Some(first) = group.first() else { return Ok(()) };
        self.new_line();
        let (line, column) = (first.start.line(), first.start.column());
        self.mappings.push(LineMapping { merged_line: self.line + 1, line, column });
        if first.key != first.name {
            let _ = write!(self.out, "{}: ", first.key);
        }
        self.out.push_str(first.name);
        if let Some((span, values)) = first.arguments
            && !(is_root && self.kind == MergedKind::SubscriptionItem)
        {
            let arguments = self.source.of(span);
            self.out.push_str(arguments);
            self.line += newlines(arguments);
            let used = values.iter().flat_map(|(_, value)| value.item.referenced_variables());
            self.variables.extend(used.into_iter().map(str::to_owned));
        }
        if self.out.len() > self.max_bytes {
            return Err("the document repeats fragments too often".into());
        }
        let sets: Vec<&[Selection<'a>]> =
            group.iter().map(|field| field.selections).filter(|selections| !selections.is_empty()).collect();
        if sets.is_empty() {
            return Ok(());
        }
        if is_root && self.kind == MergedKind::SubscriptionStart {
            self.out.push_str("{__typename}");
            return Ok(());
        }
        let definition = of.and_then(|of| of.field_by_name(first.name));
        let inner = definition.and_then(|field| self.schema.concrete_type_by_name(field.field_type.innermost_name()));
        self.selections(&sets, inner)
    }

    fn type_condition(&mut self, name: &str) {
        self.new_line();
        let _ = write!(self.out, "... on {name} ");
    }

    fn new_line(&mut self) {
        self.out.push('\n');
        self.line += 1;
    }

    /// Ends a selection set. `start` is the length of the output at its beginning.
    fn close_selection_set(&mut self, start: usize) {
        if self.out.len() == start {
            let is_start = self.kind == MergedKind::SubscriptionStart;
            self.out.push_str(if is_start { EMPTY_SUBSCRIPTION_SELECTION } else { EMPTY_SELECTION });
        }
        self.out.push('}');
    }
}

/// The field of a selection; `None` if the selection is a fragment, or `@skip` or `@include` removes the field.
fn included_field<'d, 'a>(selection: &'d Selection<'a>, conditions: &ConditionValues) -> Option<Field<'d, 'a>> {
    let Selection::Field(Spanning { item: field, span }) = selection else { return None };
    is_included!(conditions, field).then(|| Field {
        key: field.alias.as_ref().unwrap_or(&field.name).item,
        name: field.name.item,
        start: span.start,
        arguments: field.arguments.as_ref().map(|arguments| (arguments.span, arguments.item.items.as_slice())),
        selections: field.selection_set.as_deref().unwrap_or_default(),
    })
}

fn type_name(of: Option<&MetaType<Scalar>>) -> &str {
    of.and_then(MetaType::name).map(|name| &**name).unwrap_or_default()
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::super::mutation::Mutation;
    use super::super::query::Query;
    use super::super::schema::Schema;
    use super::super::subscription::SubscriptionRoot;
    use super::super::sync_value::SyncValue;
    use super::*;

    fn merged_text(text: &str, kind: MergedKind) -> String {
        let schema = Schema::new_with_scalar_value(SyncValue(Query), Mutation, SubscriptionRoot).schema;
        let document = juniper::parser::parse_document_source(text, &schema).expect("the document parses");
        let merged = merge_document((text, &document), None, &schema, &ConditionValues::new(), kind);
        merged.expect("the merged document is not too large").text
    }

    #[test]
    fn repeated_fragment_spread_is_written_once() {
        let fragment =
            "fragment F on Event { ... on MessageAdded { message { comments(first: 5) { nodes { content } } } } }";
        for selection in ["...F ...F", "...F ... on Event { ...F }", "... on MessageAdded { ...F } ...F"] {
            let text = merged_text(
                &format!("subscription {{ events {{ {selection} }} }} {fragment}"),
                MergedKind::SubscriptionItem,
            );
            assert_eq!(text.matches("comments").count(), 1, "{text}");
        }
        let twice = format!("subscription {{ events {{ ...F }} events {{ ...F }} }} {fragment}");
        assert_eq!(merged_text(&twice, MergedKind::SubscriptionItem).matches("comments").count(), 1);
    }
}

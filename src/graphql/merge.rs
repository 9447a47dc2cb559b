//! Writes an operation so that no selection set has two fields of one response key: CollectFields and
//! MergeSelectionSets of the specification, done to the document. juniper executes a field as often as it is written, a
//! mutation included.
//!
//! Fragments become part of the selections that spread them, and `@skip` and `@include` are decided by the variables.
//! So the result is for one set of values of the variables that directives use.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use juniper::meta::MetaType;
use juniper::parser::SourcePosition;
use juniper::{Definition, InputValue, OperationType, SchemaType, Span, Spanning};
use serde_json::Value as Json;

use super::scalar::Scalar;
use super::source::Source;

/// Bytes of a merged document, beside a multiple of the original.
const MOST: usize = 64 << 10;
/// How many times longer than the original a merged document may be.
const LONGER: usize = 4;
/// What is never there, for a selection set of which nothing is left.
const NOTHING: &str = "__typename @skip(if: true)";
/// The same for the root of a subscription: juniper allows no `__typename` of a subscription itself.
const NOTHING_OPENED: &str = "... @skip(if: true) {__typename}";

type Selection<'a> = juniper::Selection<'a, Scalar>;
type Operation<'a> = juniper::Operation<'a, Scalar>;
type Schema = SchemaType<Scalar>;
/// Arguments by name.
type Given<'a> = (Spanning<&'a str>, Spanning<InputValue<Scalar>>);

/// What the merged document is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A query or a mutation.
    Answer,
    /// The root field of a subscription, with its arguments.
    Open,
    /// One item of a subscription: a query for its root field, without arguments.
    Item,
}

/// The values of the variables that directives use.
pub type Truths = HashMap<String, bool>;

/// A merged operation.
pub struct Merged {
    pub text: String,
    pub places: Places,
}

/// Where the fields of a merged document are in the document that it was made of. Each has a line of its own.
#[derive(Debug, Default)]
pub struct Places(Vec<Place>);

#[derive(Debug)]
struct Place {
    merged_line: usize,
    line: usize,
    column: usize,
}

impl Places {
    /// Puts the locations of errors where they are in the original document.
    pub fn relocate(&self, errors: &mut Json) {
        let locations = errors.as_array_mut().into_iter().flatten().filter_map(|error| error.get_mut("locations"));
        for location in locations.filter_map(Json::as_array_mut).flatten() {
            let Some(line) = location["line"].as_u64() else { continue };
            let behind = self.0.partition_point(|place| place.merged_line <= line as usize);
            let Some(place) = behind.checked_sub(1).and_then(|at| self.0.get(at)) else { continue };
            *location = serde_json::json!({ "line": place.line + 1, "column": place.column + 1 });
        }
    }
}

/// Merges the operation of this name in a document that passed validation; the text is the one it was parsed from.
///
/// # Errors
/// What is too large, for the client to read.
pub fn merged(
    (text, document): (&str, &[Definition<'_, Scalar>]),
    name: Option<&str>,
    schema: &Schema,
    truths: &Truths,
    form: Form,
) -> Result<Merged, String> {
    let mut fragments = HashMap::new();
    let mut wanted = None;
    for definition in document {
        match definition {
            Definition::Fragment(fragment) => {
                let fragment = &fragment.item;
                let body = (fragment.type_condition.item, fragment.selection_set.as_slice());
                fragments.insert(fragment.name.item, body);
            }
            Definition::Operation(operation) => {
                if name.is_none() || operation.item.name.as_ref().map(|name| name.item) == name {
                    wanted = Some(operation);
                }
            }
        }
    }
    let operation = wanted.ok_or("the document has no such operation")?;
    let most = text.len() * LONGER + MOST;
    let writer = Writer {
        source: Source::new(text),
        schema,
        fragments,
        truths,
        form,
        out: String::new(),
        line: 0,
        places: Vec::new(),
        variables: BTreeSet::new(),
        most,
    };
    writer.operation(operation)
}

/// A field as it is written at one place. juniper exports no name for its type.
struct Field<'d, 'a> {
    key: &'a str,
    name: &'a str,
    start: SourcePosition,
    arguments: Option<(Span, &'d [Given<'a>])>,
    selections: &'d [Selection<'a>],
}

/// The fields of one selection set by response key, in the order of the response.
#[derive(Default)]
struct Collected<'d, 'a> {
    numbers: HashMap<&'a str, usize>,
    groups: Vec<Vec<Field<'d, 'a>>>,
    /// A fragment is spread more than once: written as it is, its fields would be there again.
    has_fragment_again: bool,
}

impl<'d, 'a> Collected<'d, 'a> {
    fn add(&mut self, field: Field<'d, 'a>) {
        let next = self.groups.len();
        match *self.numbers.entry(field.key).or_insert(next) {
            known if known < next => self.groups[known].push(field),
            _ => self.groups.push(vec![field]),
        }
    }

    /// Whether some key is there more than once.
    fn is_repetitive(&self) -> bool {
        self.has_fragment_again || self.groups.iter().any(|group| group.len() > 1)
    }
}

struct Writer<'w, 'd, 'a> {
    source: Source<'w>,
    schema: &'w Schema,
    /// The type condition and the selections of each.
    fragments: HashMap<&'a str, (&'a str, &'d [Selection<'a>])>,
    truths: &'w Truths,
    form: Form,
    out: String,
    /// The line that is being written.
    line: usize,
    places: Vec<Place>,
    /// The variables that are left.
    variables: BTreeSet<String>,
    most: usize,
}

/// Whether `@skip` and `@include` leave something there. juniper exports no name for the type of a directive.
macro_rules! is_there {
    ($truths:expr, $of:expr) => {
        $of.directives.iter().flatten().all(|directive| {
            let arguments = directive.item.arguments.iter().flat_map(|arguments| &arguments.item.items);
            let condition = arguments.map(|(_, value)| &value.item).next();
            match (directive.item.name.item, condition) {
                ("skip", Some(condition)) => !is_true(condition, $truths),
                ("include", Some(condition)) => is_true(condition, $truths),
                _ => true,
            }
        })
    };
}

fn is_true(condition: &InputValue<Scalar>, truths: &Truths) -> bool {
    match condition {
        InputValue::Scalar(Scalar::Boolean(is_true)) => *is_true,
        InputValue::Variable(name) => truths.get(name).copied().unwrap_or(false),
        _ => false,
    }
}

impl<'d, 'a> Writer<'_, 'd, 'a> {
    fn operation(mut self, operation: &'d Spanning<Operation<'a>>) -> Result<Merged, String> {
        let (line, column) = (operation.span.start.line(), operation.span.start.column());
        let operation = &operation.item;
        let of = match operation.operation_type {
            OperationType::Query => Some(self.schema.concrete_query_type()),
            OperationType::Mutation => self.schema.concrete_mutation_type(),
            OperationType::Subscription => self.schema.concrete_subscription_type(),
        };
        let collected = self.collect(&[&operation.selection_set], name_of(of));
        self.fields(&collected, of, true)?;
        let keyword = match (self.form, operation.operation_type) {
            (Form::Item, _) | (_, OperationType::Query) => "query",
            (_, OperationType::Mutation) => "mutation",
            (_, OperationType::Subscription) => "subscription",
        };
        let mut header = keyword.to_owned();
        let known = operation.variables_definition.iter().flat_map(|variables| &variables.item.items);
        let mut before = "(";
        for (name, variable) in known.filter(|(name, _)| self.variables.contains(name.item)) {
            let _ = write!(header, "{before}${}: {}", name.item, variable.var_type.item);
            if let Some(default) = &variable.default_value {
                header.push_str(" = ");
                header.push_str(self.source.of(default.span));
            }
            before = ", ";
        }
        if before != "(" {
            header.push(')');
        }
        let lines = newlines(&header);
        self.places.iter_mut().for_each(|place| place.merged_line += lines);
        let mut places = vec![Place { merged_line: 1, line, column }];
        places.append(&mut self.places);
        Ok(Merged { text: header + &self.out, places: Places(places) })
    }

    /// CollectFields, for an object of this type.
    fn collect(&self, sets: &[&'d [Selection<'a>]], of: &str) -> Collected<'d, 'a> {
        let (mut collected, mut visited) = (Collected::default(), HashSet::new());
        for selections in sets {
            self.collect_into(&mut collected, &mut visited, selections, of);
        }
        collected
    }

    fn collect_into(
        &self,
        collected: &mut Collected<'d, 'a>,
        visited: &mut HashSet<&'a str>,
        selections: &'d [Selection<'a>],
        of: &str,
    ) {
        for selection in selections {
            match selection {
                Selection::Field(_) => {
                    if let Some(field) = field_of(selection, self.truths) {
                        collected.add(field);
                    }
                }
                Selection::FragmentSpread(spread) if is_there!(self.truths, spread.item) => {
                    let name = spread.item.name.item;
                    if !visited.insert(name) {
                        collected.has_fragment_again = true;
                    } else if let Some((condition, selections)) = self.fragments.get(name)
                        && self.schema.is_named_subtype(of, condition)
                    {
                        self.collect_into(collected, visited, selections, of);
                    }
                }
                Selection::InlineFragment(inline) if is_there!(self.truths, inline.item) => {
                    let condition = inline.item.type_condition.as_ref();
                    if condition.is_none_or(|condition| self.schema.is_named_subtype(of, condition.item)) {
                        self.collect_into(collected, visited, &inline.item.selection_set, of);
                    }
                }
                Selection::FragmentSpread(_) | Selection::InlineFragment(_) => {}
            }
        }
    }

    /// Selections that belong together, on a value of this type.
    fn selections(&mut self, sets: &[&'d [Selection<'a>]], of: Option<&MetaType<Scalar>>) -> Result<(), String> {
        let Some(interface) = of.filter(|of| of.is_abstract()) else {
            let collected = self.collect(sets, name_of(of));
            return self.fields(&collected, of, false);
        };
        let objects = self.schema.possible_types(interface);
        let each: Vec<_> = objects.iter().map(|object| self.collect(sets, name_of(Some(*object)))).collect();
        self.out.push('{');
        let before = self.out.len();
        if each.iter().any(Collected::is_repetitive) {
            for (object, collected) in objects.iter().zip(&each).filter(|(_, collected)| !collected.groups.is_empty()) {
                self.condition(name_of(Some(*object)));
                self.fields(collected, Some(*object), false)?;
            }
        } else {
            for selections in sets {
                self.as_written(selections, interface)?;
            }
        }
        self.end(before);
        Ok(())
    }

    /// Selections on an interface in which no object has a key twice.
    fn as_written(&mut self, selections: &'d [Selection<'a>], of: &MetaType<Scalar>) -> Result<(), String> {
        for selection in selections {
            let (condition, inner) = match selection {
                Selection::Field(_) => {
                    if let Some(field) = field_of(selection, self.truths) {
                        self.field(&[field], Some(of), false)?;
                    }
                    continue;
                }
                Selection::FragmentSpread(spread) if is_there!(self.truths, spread.item) => {
                    let Some((condition, inner)) = self.fragments.get(spread.item.name.item) else { continue };
                    (*condition, *inner)
                }
                Selection::InlineFragment(inline) if is_there!(self.truths, inline.item) => {
                    let condition = inline.item.type_condition.as_ref().map_or(name_of(Some(of)), |name| name.item);
                    (condition, inline.item.selection_set.as_slice())
                }
                Selection::FragmentSpread(_) | Selection::InlineFragment(_) => continue,
            };
            if condition == name_of(Some(of)) {
                self.as_written(inner, of)?;
            } else {
                self.condition(condition);
                self.selections(&[inner], self.schema.concrete_type_by_name(condition))?;
            }
        }
        Ok(())
    }

    fn fields(
        &mut self,
        collected: &Collected<'d, 'a>,
        of: Option<&MetaType<Scalar>>,
        is_root: bool,
    ) -> Result<(), String> {
        self.out.push('{');
        let before = self.out.len();
        for group in &collected.groups {
            self.field(group, of, is_root)?;
        }
        self.end(before);
        Ok(())
    }

    /// One field of the response, written where the first of its occurrences is.
    fn field(&mut self, group: &[Field<'d, 'a>], of: Option<&MetaType<Scalar>>, is_root: bool) -> Result<(), String> {
        let Some(first) = group.first() else { return Ok(()) };
        self.new_line();
        let (line, column) = (first.start.line(), first.start.column());
        self.places.push(Place { merged_line: self.line + 1, line, column });
        if first.key != first.name {
            let _ = write!(self.out, "{}: ", first.key);
        }
        self.out.push_str(first.name);
        if let Some((span, values)) = first.arguments
            && !(is_root && self.form == Form::Item)
        {
            let arguments = self.source.of(span);
            self.out.push_str(arguments);
            self.line += newlines(arguments);
            let used = values.iter().flat_map(|(_, value)| value.item.referenced_variables());
            self.variables.extend(used.into_iter().map(str::to_owned));
        }
        if self.out.len() > self.most {
            return Err("the document repeats fragments too often".into());
        }
        let sets: Vec<&[Selection<'a>]> =
            group.iter().map(|field| field.selections).filter(|selections| !selections.is_empty()).collect();
        if sets.is_empty() {
            return Ok(());
        }
        if is_root && self.form == Form::Open {
            self.out.push_str("{__typename}");
            return Ok(());
        }
        let known = of.and_then(|of| of.field_by_name(first.name));
        let inner = known.and_then(|known| self.schema.concrete_type_by_name(known.field_type.innermost_name()));
        self.selections(&sets, inner)
    }

    fn condition(&mut self, name: &str) {
        self.new_line();
        let _ = write!(self.out, "... on {name} ");
    }

    fn new_line(&mut self) {
        self.out.push('\n');
        self.line += 1;
    }

    /// The end of a selection set that began at this length.
    fn end(&mut self, before: usize) {
        if self.out.len() == before {
            self.out.push_str(if self.form == Form::Open { NOTHING_OPENED } else { NOTHING });
        }
        self.out.push('}');
    }
}

fn field_of<'d, 'a>(selection: &'d Selection<'a>, truths: &Truths) -> Option<Field<'d, 'a>> {
    let Selection::Field(Spanning { item: field, span }) = selection else { return None };
    is_there!(truths, field).then(|| Field {
        key: field.alias.as_ref().unwrap_or(&field.name).item,
        name: field.name.item,
        start: span.start,
        arguments: field.arguments.as_ref().map(|arguments| (arguments.span, arguments.item.items.as_slice())),
        selections: field.selection_set.as_deref().unwrap_or_default(),
    })
}

fn name_of(of: Option<&MetaType<Scalar>>) -> &str {
    of.and_then(MetaType::name).map(|name| &**name).unwrap_or_default()
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::super::{Mutation, Query, Schema, Subscription};
    use super::*;

    fn written(text: &str, form: Form) -> String {
        let schema = Schema::new_with_scalar_value(Query, Mutation, Subscription).schema;
        let document = juniper::parser::parse_document_source(text, &schema).expect("a document");
        let merged = merged((text, &document), None, &schema, &Truths::new(), form);
        merged.expect("not too large").text
    }

    #[test]
    fn a_fragment_that_is_spread_again_is_written_once() {
        let fragment =
            "fragment F on Event { ... on MessageAdded { message { comments(first: 5) { nodes { content } } } } }";
        for selection in ["...F ...F", "...F ... on Event { ...F }", "... on MessageAdded { ...F } ...F"] {
            let text = written(&format!("subscription {{ events {{ {selection} }} }} {fragment}"), Form::Item);
            assert_eq!(text.matches("comments").count(), 1, "{text}");
        }
        let twice = format!("subscription {{ events {{ ...F }} events {{ ...F }} }} {fragment}");
        assert_eq!(written(&twice, Form::Item).matches("comments").count(), 1);
    }
}

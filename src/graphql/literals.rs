//! Rewrites literals that juniper's parser does not accept, before the document is parsed: objects and lists for
//! `JSON`, and whole numbers above 32 bits for `ID`, `Float` and `JSON`.
//!
//! The result contains the changes of columns, so that errors name the locations in the document that the client sent.

use juniper::parser::{Lexer, ScalarToken, Token};
use juniper::{
    Definition, EmptyMutation, EmptySubscription, InputValue, RootNode, Selection, Spanning, Type, graphql_object,
    meta::{Argument, MetaType},
};
use serde_json::{Value, json};

use super::json::LITERAL_MARK;
use super::scalar::Scalar;
use super::source::SourceText;
use super::variables::list_depth;
use super::{Schema, errors};

/// A schema without the fields and types of the real one. juniper parses every literal with it, because it knows no
/// type for any literal.
pub struct UntypedSchema(RootNode<UntypedQuery, EmptyMutation, EmptySubscription, Scalar>);

/// A root type with one field for each type that juniper's parser needs for a literal without a type.
struct UntypedQuery;

#[graphql_object(scalar = Scalar)]
impl UntypedQuery {
    fn int() -> i32 {
        0
    }

    fn float() -> f64 {
        0.0
    }
}

impl UntypedSchema {
    /// Creates the schema with these maximum numbers of tokens and fields in a document.
    #[must_use]
    pub fn new(tokens: usize, fields: usize) -> Self {
        let root = RootNode::new_with_scalar_value(UntypedQuery, EmptyMutation::new(), EmptySubscription::new());
        Self(root.limit_tokens(tokens).limit_fields(fields))
    }
}

/// A document whose literals juniper can parse.
pub struct RewrittenDocument {
    /// The text of the document.
    pub text: String,
    /// The changes of columns, to relocate errors.
    pub shifts: ColumnShifts,
}

/// The differences between the columns of a rewritten document and those of the document that the client sent.
#[derive(Debug, Default)]
pub struct ColumnShifts(Vec<ColumnShift>);

#[derive(Debug)]
struct ColumnShift {
    /// The line of the rewritten literal, counted from 0.
    line: usize,
    /// The first column behind the rewritten literal, in the rewritten document. Counted from 0.
    column: usize,
    /// The number of characters that were added; negative if the literal became shorter.
    added: isize,
}

impl ColumnShifts {
    /// Replaces the locations of errors by those in the document that the client sent.
    pub fn relocate(&self, errors: &mut Value) {
        if self.0.is_empty() {
            return;
        }
        let locations = errors.as_array_mut().into_iter().flatten().filter_map(|error| error.get_mut("locations"));
        for location in locations.filter_map(Value::as_array_mut).flatten() {
            let (Some(line), Some(column)) = (location["line"].as_u64(), location["column"].as_u64()) else { continue };
            let (line, column) = (line as usize - 1, column as usize - 1);
            let before = self.0.iter().filter(|shift| shift.line == line && shift.column <= column);
            let added: isize = before.map(|shift| shift.added).sum();
            location["column"] = column.saturating_add_signed(-added).saturating_add(1).into();
        }
    }
}

/// Rewrites the literals of a document that juniper cannot parse. `None` if there are none, or if the document has a
/// syntax error, which juniper reports when it parses the document. Only the first `tokens` tokens are read.
///
/// # Errors
/// The `errors` of the response, if a literal does not fit its type.
pub fn rewrite(
    text: &str,
    schema: &Schema,
    untyped: &UntypedSchema,
    tokens: usize,
) -> Result<Option<RewrittenDocument>, Value> {
    let Some(masked) = mask_large_integers(text, tokens) else { return Ok(None) };
    let Ok(document) = juniper::parser::parse_document_source(&masked, &untyped.0.schema) else { return Ok(None) };
    let mut rewriter = Rewriter { source: SourceText::new(text), schema, edits: Vec::new() };
    for definition in &document {
        rewriter.definition(definition)?;
    }
    Ok(if rewriter.edits.is_empty() { None } else { Some(rewriter.apply()) })
}

/// Replaces each whole number above 32 bits by a float of the same length, which juniper can parse. `None` if the
/// document has neither such a number nor a literal object or list, so that no literal needs rewriting.
fn mask_large_integers(text: &str, tokens: usize) -> Option<String> {
    let (mut has_object_or_list, mut after_colon) = (false, false);
    let mut large = Vec::new();
    for token in Lexer::new(text).take(tokens) {
        let token = token.ok()?;
        match token.item {
            Token::CurlyOpen | Token::BracketOpen if after_colon => has_object_or_list = true,
            Token::Scalar(ScalarToken::Int(number)) if number.parse::<i32>().is_err() => {
                large.push((token.span.start.index(), number.len()));
            }
            _ => {}
        }
        after_colon = token.item == Token::Colon;
    }
    if large.is_empty() {
        return has_object_or_list.then(|| text.to_owned());
    }
    let mut masked: Vec<char> = text.chars().collect();
    for (start, length) in large {
        let number = masked.get_mut(start..start + length)?;
        number.fill('0');
        number[1] = '.';
    }
    Some(masked.into_iter().collect())
}

/// Visits the literals of a document with their types, and collects the edits.
struct Rewriter<'d> {
    source: SourceText<'d>,
    schema: &'d Schema,
    /// The literals to replace, with their new text.
    edits: Vec<(juniper::Span, String)>,
}

type Literal = Spanning<InputValue<Scalar>>;

impl Rewriter<'_> {
    fn definition(&mut self, definition: &Definition<'_, Scalar>) -> Result<(), Value> {
        let schema = &self.schema.schema;
        match definition {
            Definition::Fragment(fragment) => {
                let parent = schema.concrete_type_by_name(fragment.item.type_condition.item);
                self.selections(&fragment.item.selection_set, parent)
            }
            Definition::Operation(operation) => {
                let operation = &operation.item;
                let variables = operation.variables_definition.iter().flat_map(|variables| &variables.item.items);
                for (_, variable) in variables {
                    let variable_type = &variable.var_type.item;
                    if let Some(default) = &variable.default_value {
                        self.value(default, variable_type.innermost_name(), list_depth(variable_type))?;
                    }
                }
                let parent = match operation.operation_type {
                    juniper::OperationType::Query => Some(schema.concrete_query_type()),
                    juniper::OperationType::Mutation => schema.concrete_mutation_type(),
                    juniper::OperationType::Subscription => schema.concrete_subscription_type(),
                };
                self.selections(&operation.selection_set, parent)
            }
        }
    }

    fn selections(
        &mut self,
        selections: &[Selection<'_, Scalar>],
        parent: Option<&MetaType<Scalar>>,
    ) -> Result<(), Value> {
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    let field = &field.item;
                    let definition = parent.and_then(|parent| parent.field_by_name(field.name.item));
                    let Some(definition) = definition else { continue };
                    let arguments = definition.arguments.as_deref().unwrap_or_default();
                    for (name, value) in field.arguments.iter().flat_map(|arguments| &arguments.item.items) {
                        self.argument(arguments, name.item, value)?;
                    }
                    let inner = self.schema.schema.concrete_type_by_name(definition.field_type.innermost_name());
                    self.selections(field.selection_set.as_deref().unwrap_or_default(), inner)?;
                }
                Selection::InlineFragment(inline) => {
                    let condition = inline.item.type_condition.as_ref();
                    let inner = match condition {
                        Some(name) => self.schema.schema.concrete_type_by_name(name.item),
                        None => parent,
                    };
                    self.selections(&inline.item.selection_set, inner)?;
                }
                Selection::FragmentSpread(_) => {}
            }
        }
        Ok(())
    }

    /// Visits the value of an argument or an input field. Validation refuses an argument without a definition.
    fn argument(&mut self, definitions: &[Argument<Scalar>], name: &str, value: &Literal) -> Result<(), Value> {
        let Some(argument) = definitions.iter().find(|argument| argument.name == *name) else { return Ok(()) };
        let argument_type: &Type = &argument.arg_type;
        self.value(value, argument_type.innermost_name(), list_depth(argument_type))
    }

    /// Visits a value. `type_name` is the innermost name of its type, and `lists` the number of lists around it.
    fn value(&mut self, value: &Literal, type_name: &str, lists: usize) -> Result<(), Value> {
        match (&value.item, lists) {
            (InputValue::Variable(_) | InputValue::Null, _) => Ok(()),
            (InputValue::List(items), 1..) => items.iter().try_for_each(|item| self.value(item, type_name, lists - 1)),
            (InputValue::List(_) | InputValue::Object(_), _) if type_name == "JSON" => {
                let json = self.json(value)?;
                self.edits.push((value.span, quoted(&format!("{LITERAL_MARK}{json}"))));
                Ok(())
            }
            (InputValue::Object(fields), _) => match self.schema.schema.concrete_type_by_name(type_name) {
                Some(MetaType::InputObject(object)) => {
                    fields.iter().try_for_each(|(name, value)| self.argument(&object.input_fields, &name.item, value))
                }
                _ => Ok(()),
            },
            (InputValue::Scalar(Scalar::Float(_)), _) => self.number(value, type_name),
            _ => Ok(()),
        }
    }

    /// Visits a number that juniper parsed as a float. It may be a whole number above 32 bits that needs another form.
    fn number(&mut self, value: &Literal, type_name: &str) -> Result<(), Value> {
        let text = self.source(value);
        if text.contains(['.', 'e', 'E']) {
            return Ok(());
        }
        let replacement = match type_name {
            "JSON" => return Ok(()),
            "ID" => format!("\"{text}\""),
            "Float" => format!("{text}.0"),
            "Int" => {
                return Err(literal_error(value, &format!("Int takes whole numbers of 32 bits; {text} is too large")));
            }
            _ => return Err(literal_error(value, &format!("Invalid value {text} for type \"{type_name}\""))),
        };
        self.edits.push((value.span, replacement));
        Ok(())
    }

    fn source(&self, value: &Literal) -> &str {
        self.source.of(value.span)
    }

    /// Converts a literal to JSON text.
    fn json(&self, value: &Literal) -> Result<String, Value> {
        Ok(match &value.item {
            InputValue::Null => "null".into(),
            InputValue::Scalar(Scalar::String(text)) => json!(text).to_string(),
            InputValue::Scalar(Scalar::Boolean(is_true)) => is_true.to_string(),
            InputValue::Scalar(_) => self.source(value).to_owned(),
            InputValue::Enum(name) => {
                return Err(literal_error(
                    value,
                    &format!("{name} is not a JSON value; a text has quotes: \"{name}\""),
                ));
            }
            InputValue::Variable(name) => {
                return Err(literal_error(
                    value,
                    &format!("${name} is inside of a JSON literal; pass the whole value as a variable of type JSON"),
                ));
            }
            InputValue::List(items) => {
                let items: Vec<String> = items.iter().map(|item| self.json(item)).collect::<Result<_, _>>()?;
                format!("[{}]", items.join(","))
            }
            InputValue::Object(fields) => {
                let field = |(name, value): &(Spanning<String>, Literal)| {
                    Ok(format!("{}:{}", json!(name.item), self.json(value)?))
                };
                let fields: Vec<String> = fields.iter().map(field).collect::<Result<_, Value>>()?;
                format!("{{{}}}", fields.join(","))
            }
        })
    }

    /// Applies the edits. The rest of the document keeps its lines.
    fn apply(mut self) -> RewrittenDocument {
        self.edits.sort_by_key(|(span, _)| span.start.index());
        let (mut text, mut shifts, mut from) = (String::new(), Vec::new(), 0);
        let (mut line, mut added_in_line) = (0, 0);
        for (span, replacement) in &self.edits {
            let (start, end) = (self.source.byte(span.start.index()), self.source.byte(span.end.index()));
            text.push_str(&self.source.text()[from..start]);
            text.push_str(replacement);
            let lines = span.end.line() - span.start.line();
            if lines > 0 {
                // Pad with line breaks and spaces, so that the following text keeps its line and column.
                text.push_str(&"\n".repeat(lines));
                text.push_str(&" ".repeat(span.end.column()));
            } else {
                if line != span.start.line() {
                    (line, added_in_line) = (span.start.line(), 0);
                }
                let added = replacement.chars().count() as isize - (span.end.index() - span.start.index()) as isize;
                added_in_line += added;
                let column = span.end.column().saturating_add_signed(added_in_line);
                shifts.push(ColumnShift { line, column, added });
            }
            from = end;
        }
        text.push_str(&self.source.text()[from..]);
        RewrittenDocument { text, shifts: ColumnShifts(shifts) }
    }
}

/// Writes a text as a GraphQL string. The escapes of JSON are valid in GraphQL.
fn quoted(text: &str) -> String {
    json!(text).to_string()
}

fn literal_error(value: &Literal, message: &str) -> Value {
    let start = value.span.start;
    errors::rule_error_at(message, start.line() + 1, start.column() + 1)
}

//! Literals in documents that juniper's parser does not take: objects and lists for `JSON`, and whole numbers above 32
//! bits for `ID`, `Float` and `JSON`. They are written in another way before the document is parsed. The places of
//! everything else stay known, so that errors name them.

use juniper::parser::{Lexer, ScalarToken, Token};
use juniper::{
    Definition, EmptyMutation, EmptySubscription, InputValue, RootNode, Selection, Spanning, Type, graphql_object,
    meta::{Argument, MetaType},
};
use serde_json::{Value, json};

use super::json::LITERAL_MARK;
use super::scalar::Scalar;
use super::source::Source;
use super::variables::lists;
use super::{Schema, errors};

/// A schema in which every literal parses, because none has a type.
pub struct Bare(RootNode<Nothing, EmptyMutation, EmptySubscription, Scalar>);

/// The only types that literals without a type need.
struct Nothing;

#[graphql_object(scalar = Scalar)]
impl Nothing {
    fn int() -> i32 {
        0
    }

    fn float() -> f64 {
        0.0
    }
}

impl Bare {
    /// With the limits of the schema.
    #[must_use]
    pub fn new(tokens: usize, fields: usize) -> Self {
        let root = RootNode::new_with_scalar_value(Nothing, EmptyMutation::new(), EmptySubscription::new());
        Self(root.limit_tokens(tokens).limit_fields(fields))
    }
}

/// A document that was written in another way.
pub struct Rewritten {
    /// The document.
    pub text: String,
    /// What became longer or shorter.
    pub shifts: Shifts,
}

/// By how much columns differ from those of the document that the client sent.
#[derive(Debug, Default)]
pub struct Shifts(Vec<Shift>);

#[derive(Debug)]
struct Shift {
    line: usize,
    /// The first column behind the changed text, as it is now.
    column: usize,
    longer_by: isize,
}

impl Shifts {
    /// Puts the locations of errors where they are in the document that the client sent.
    pub fn relocate(&self, errors: &mut Value) {
        if self.0.is_empty() {
            return;
        }
        let locations = errors.as_array_mut().into_iter().flatten().filter_map(|error| error.get_mut("locations"));
        for location in locations.filter_map(Value::as_array_mut).flatten() {
            let (Some(line), Some(column)) = (location["line"].as_u64(), location["column"].as_u64()) else { continue };
            let (line, column) = (line as usize - 1, column as usize - 1);
            let before = self.0.iter().filter(|shift| shift.line == line && shift.column <= column);
            let longer: isize = before.map(|shift| shift.longer_by).sum();
            location["column"] = column.saturating_add_signed(-longer).saturating_add(1).into();
        }
    }
}

/// Writes a document so that juniper can parse it; `None` if it can as it is.
///
/// # Errors
/// The `errors` of the response, if a literal cannot be what its place wants.
pub fn rewritten(text: &str, schema: &Schema, bare: &Bare, tokens: usize) -> Result<Option<Rewritten>, Value> {
    let Some(masked) = masked(text, tokens) else { return Ok(None) };
    // What does not parse is refused with juniper's own words.
    let Ok(document) = juniper::parser::parse_document_source(&masked, &bare.0.schema) else { return Ok(None) };
    let mut walk = Walk { source: Source::new(text), schema, edits: Vec::new() };
    for definition in &document {
        walk.definition(definition)?;
    }
    Ok(if walk.edits.is_empty() { None } else { Some(walk.rewritten()) })
}

/// The document with a float of the same length in place of each large whole number; `None` if nothing in it can need
/// another form.
fn masked(text: &str, tokens: usize) -> Option<String> {
    let (mut needed, mut after_colon) = (false, false);
    let mut large = Vec::new();
    for token in Lexer::new(text).take(tokens) {
        let token = token.ok()?;
        match token.item {
            Token::CurlyOpen | Token::BracketOpen if after_colon => needed = true,
            Token::Scalar(ScalarToken::Int(number)) if number.parse::<i32>().is_err() => {
                large.push((token.span.start.index(), number.len()));
            }
            _ => {}
        }
        after_colon = token.item == Token::Colon;
    }
    if large.is_empty() {
        return needed.then(|| text.to_owned());
    }
    let mut masked: Vec<char> = text.chars().collect();
    for (start, length) in large {
        let number = masked.get_mut(start..start + length)?;
        number.fill('0');
        number[1] = '.';
    }
    Some(masked.into_iter().collect())
}

/// A walk through the literals of a document, with their types.
struct Walk<'d> {
    source: Source<'d>,
    schema: &'d Schema,
    edits: Vec<(juniper::Span, String)>,
}

type Literal = Spanning<InputValue<Scalar>>;

impl Walk<'_> {
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
                    let of = &variable.var_type.item;
                    if let Some(default) = &variable.default_value {
                        self.value(default, of.innermost_name(), lists(of))?;
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
                    let Some(known) = parent.and_then(|parent| parent.field_by_name(field.name.item)) else { continue };
                    let arguments = known.arguments.as_deref().unwrap_or_default();
                    for (name, value) in field.arguments.iter().flat_map(|arguments| &arguments.item.items) {
                        self.argument(arguments, name.item, value)?;
                    }
                    let inner = self.schema.schema.concrete_type_by_name(known.field_type.innermost_name());
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

    /// What is not known is for validation to complain about.
    fn argument(&mut self, known: &[Argument<Scalar>], name: &str, value: &Literal) -> Result<(), Value> {
        let Some(argument) = known.iter().find(|argument| argument.name == *name) else { return Ok(()) };
        let of: &Type = &argument.arg_type;
        self.value(value, of.innermost_name(), lists(of))
    }

    fn value(&mut self, value: &Literal, of: &str, lists: usize) -> Result<(), Value> {
        match (&value.item, lists) {
            (InputValue::Variable(_) | InputValue::Null, _) => Ok(()),
            (InputValue::List(items), 1..) => items.iter().try_for_each(|item| self.value(item, of, lists - 1)),
            (InputValue::List(_) | InputValue::Object(_), _) if of == "JSON" => {
                let json = self.json(value)?;
                self.edits.push((value.span, quoted(&format!("{LITERAL_MARK}{json}"))));
                Ok(())
            }
            (InputValue::Object(fields), _) => match self.schema.schema.concrete_type_by_name(of) {
                Some(MetaType::InputObject(object)) => {
                    fields.iter().try_for_each(|(name, value)| self.argument(&object.input_fields, &name.item, value))
                }
                _ => Ok(()),
            },
            (InputValue::Scalar(Scalar::Float(_)), _) => self.number(value, of),
            _ => Ok(()),
        }
    }

    /// A number, of which a large whole one may need another form.
    fn number(&mut self, value: &Literal, of: &str) -> Result<(), Value> {
        let text = self.source(value);
        if text.contains(['.', 'e', 'E']) {
            return Ok(());
        }
        let another = match of {
            "JSON" => return Ok(()),
            "ID" => format!("\"{text}\""),
            "Float" => format!("{text}.0"),
            "Int" => {
                return Err(refused(value, &format!("Int takes whole numbers of 32 bits, and {text} is not one")));
            }
            _ => return Err(refused(value, &format!("Invalid value {text} for type \"{of}\""))),
        };
        self.edits.push((value.span, another));
        Ok(())
    }

    fn source(&self, value: &Literal) -> &str {
        self.source.of(value.span)
    }

    /// A literal as JSON text.
    fn json(&self, value: &Literal) -> Result<String, Value> {
        Ok(match &value.item {
            InputValue::Null => "null".into(),
            InputValue::Scalar(Scalar::String(text)) => json!(text).to_string(),
            InputValue::Scalar(Scalar::Boolean(is_true)) => is_true.to_string(),
            InputValue::Scalar(_) => self.source(value).to_owned(),
            InputValue::Enum(name) => {
                return Err(refused(value, &format!("{name} is not a JSON value; a text has quotes: \"{name}\"")));
            }
            InputValue::Variable(name) => {
                return Err(refused(
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

    fn rewritten(mut self) -> Rewritten {
        self.edits.sort_by_key(|(span, _)| span.start.index());
        let (mut text, mut shifts, mut from) = (String::new(), Vec::new(), 0);
        let (mut line, mut longer) = (0, 0);
        for (span, another) in &self.edits {
            let (start, end) = (self.source.byte(span.start.index()), self.source.byte(span.end.index()));
            text.push_str(&self.source.text()[from..start]);
            text.push_str(another);
            let lines = span.end.line() - span.start.line();
            if lines > 0 {
                // What follows stays in its line and column.
                text.push_str(&"\n".repeat(lines));
                text.push_str(&" ".repeat(span.end.column()));
            } else {
                if line != span.start.line() {
                    (line, longer) = (span.start.line(), 0);
                }
                let by = another.chars().count() as isize - (span.end.index() - span.start.index()) as isize;
                longer += by;
                shifts.push(Shift { line, column: span.end.column().saturating_add_signed(longer), longer_by: by });
            }
            from = end;
        }
        text.push_str(&self.source.text()[from..]);
        Rewritten { text, shifts: Shifts(shifts) }
    }
}

/// A GraphQL string of this text: JSON's escapes are GraphQL's, too.
fn quoted(text: &str) -> String {
    json!(text).to_string()
}

fn refused(value: &Literal, message: &str) -> Value {
    let start = value.span.start;
    errors::of_rule_at(message, start.line() + 1, start.column() + 1)
}

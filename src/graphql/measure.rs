//! How large an operation is, read off its document before anything is executed.

use std::collections::{BTreeSet, HashMap};

use juniper::{Definition, InputValue, ScalarValue as _, Selection, Variables};

/// The fields that are lists of the size asked for.
const PAGED: [&str; 7] = ["users", "channels", "messages", "templates", "members", "comments", "notifications"];
/// The fields that are lists as long as they are.
const UNPAGED: [&str; 4] = ["organizations", "locations", "presence", "metrics"];
/// The size of a page if none is named, and what is assumed of the other lists.
const PAGE: u64 = 20;

/// The size of an operation.
#[derive(Debug, Default)]
pub struct Measure {
    /// How deep fields are nested.
    pub depth: usize,
    /// How many fields are renamed.
    pub aliases: usize,
    /// The root fields.
    pub roots: Vec<String>,
    /// The variables used anywhere but in the root fields' own arguments.
    pub inner_variables: BTreeSet<String>,
    /// What the root fields cost.
    pub cost: Vec<Cost>,
    /// The variables by the names of their types.
    pub variables: Vec<(String, String)>,
}

/// What a field costs: one for itself, and its fields as often as it has items.
#[derive(Debug, Clone)]
pub struct Cost {
    times: Times,
    fields: Vec<Cost>,
}

#[derive(Debug, Clone)]
enum Times {
    Fixed(u64),
    /// As a variable says, or as often if it is not given.
    Variable(String),
}

impl Cost {
    /// What these fields cost together with these variables.
    #[must_use]
    pub fn of_all(fields: &[Self], variables: &Variables) -> u64 {
        fields.iter().map(|field| field.with(variables)).fold(0, u64::saturating_add)
    }

    fn with(&self, variables: &Variables) -> u64 {
        let times = match &self.times {
            Times::Fixed(times) => *times,
            Times::Variable(name) => variables.get(name).and_then(size).unwrap_or(PAGE),
        };
        times.saturating_mul(Self::of_all(&self.fields, variables)).saturating_add(1)
    }
}

fn size(value: &InputValue) -> Option<u64> {
    let number: &i32 = value.as_scalar()?.downcast_type()?;
    u64::try_from(*number).ok()
}

type Fragments<'d, 'a> = HashMap<&'a str, &'d [Selection<'a>]>;

impl Measure {
    /// The size of the operation of this name in a document that passed validation.
    #[must_use]
    pub fn of(document: &[Definition<'_, juniper::DefaultScalarValue>], name: Option<&str>) -> Self {
        let mut fragments = Fragments::new();
        let mut operation = None;
        for definition in document {
            match definition {
                Definition::Fragment(fragment) => {
                    fragments.insert(fragment.item.name.item, &fragment.item.selection_set);
                }
                Definition::Operation(candidate) => {
                    if name.is_none() || candidate.item.name.as_ref().map(|name| name.item) == name {
                        operation = Some(&candidate.item);
                    }
                }
            }
        }
        let mut measure = Self::default();
        let variables = operation.and_then(|operation| operation.variables_definition.as_ref());
        let variables = variables.iter().flat_map(|definitions| &definitions.item.items);
        measure.variables = variables
            .map(|(name, definition)| (name.item.to_owned(), definition.var_type.item.innermost_name().to_owned()))
            .collect();
        let selections = operation.map_or(&[][..], |operation| &operation.selection_set);
        measure.cost = measure.walk(selections, &fragments, 1);
        measure
    }

    fn walk(&mut self, selections: &[Selection<'_>], fragments: &Fragments<'_, '_>, depth: usize) -> Vec<Cost> {
        let mut costs = Vec::new();
        for selection in selections {
            let (directives, inner) = match selection {
                Selection::Field(field) => (&field.item.directives, None),
                Selection::FragmentSpread(spread) => {
                    (&spread.item.directives, fragments.get(spread.item.name.item).copied())
                }
                Selection::InlineFragment(inline) => {
                    (&inline.item.directives, Some(inline.item.selection_set.as_slice()))
                }
            };
            for directive in directives.iter().flatten() {
                let arguments = directive.item.arguments.iter().flat_map(|arguments| &arguments.item.items);
                self.uses(arguments.map(|(_, value)| &value.item));
            }
            match selection {
                Selection::Field(_) => costs.push(self.field(selection, fragments, depth)),
                _ => costs.extend(self.walk(inner.unwrap_or_default(), fragments, depth)),
            }
        }
        costs
    }

    fn field(&mut self, field: &Selection<'_>, fragments: &Fragments<'_, '_>, depth: usize) -> Cost {
        let Selection::Field(field) = field else { return Cost { times: Times::Fixed(1), fields: Vec::new() } };
        let field = &field.item;
        let name = field.name.item;
        self.aliases += usize::from(field.alias.is_some());
        let arguments = || field.arguments.iter().flat_map(|arguments| &arguments.item.items);
        if depth == 1 {
            self.roots.push(name.to_owned());
        } else {
            self.uses(arguments().map(|(_, value)| &value.item));
        }
        let selections = field.selection_set.as_deref().unwrap_or_default();
        // The standard introspection query is 18 deep, over a schema that is what it is.
        let introspection = name.starts_with("__");
        let before = self.depth;
        let fields = self.walk(selections, fragments, depth + 1);
        self.depth = if introspection { before } else { self.depth.max(depth) };
        let limit = arguments().find(|(name, _)| ["first", "last"].contains(&name.item)).map(|(_, value)| &value.item);
        let times = match limit {
            _ if UNPAGED.contains(&name) => Times::Fixed(PAGE),
            _ if !PAGED.contains(&name) => Times::Fixed(1),
            Some(InputValue::Variable(variable)) => Times::Variable(variable.clone()),
            Some(value) => Times::Fixed(size(value).unwrap_or(PAGE)),
            None => Times::Fixed(PAGE),
        };
        Cost { times, fields }
    }

    fn uses<'v>(&mut self, values: impl Iterator<Item = &'v InputValue>) {
        for value in values {
            self.inner_variables.extend(value.referenced_variables().into_iter().map(str::to_owned));
        }
    }
}

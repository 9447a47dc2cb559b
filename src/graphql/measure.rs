//! How large a document is, read off it before anything is done with it that could be expensive,
//! validation included. So nothing may be taken for granted here: fragments may be missing, run in
//! circles, or fan out without end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use juniper::Definition;

use super::InputValue;
use super::cost::{Cost, Defaults, Times, page};
use super::scalar::Scalar;
use super::variables::lists;

/// How many operations a document may have: each is checked against all fragments it uses.
const OPERATIONS: usize = 50;
/// How often fields may be repeated where they end up as one. Validation compares each with each, and
/// 140 times the same field are as many comparisons; the fragments of a large page are some hundred.
const REPEATS: usize = 10_000;
/// How many lists may be nested in introspection: types, their fields, their arguments.
const LOOKS: usize = 3;

/// How large an operation may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How deep fields may be nested; introspection is spared.
    pub depth: usize,
    /// How many tokens a document may have.
    pub tokens: usize,
    /// How many fields may be renamed.
    pub aliases: usize,
    /// How many directives a document may have.
    pub directives: usize,
    /// How many fields may be resolved, lists counted at the size they are asked for.
    pub cost: u64,
    /// How many bytes the response to an operation may have, to those of a batch together, and an item of a
    /// subscription.
    pub response: usize,
    /// Whether errors may suggest what the schema has.
    pub hints: bool,
}

/// The size of an operation.
#[derive(Debug, Default)]
pub struct Measure {
    /// The names of all root fields, also of those that are left out.
    pub roots: Vec<String>,
    /// How many of them there are in the response.
    pub root_keys: usize,
    /// Some response key may be there more than once in a selection set.
    pub is_repetitive: bool,
    /// The variables that `@skip` and `@include` use, and their values if they are not given.
    pub conditions: BTreeMap<String, bool>,
    /// The variables used anywhere but in the root fields' own arguments.
    pub inner_variables: BTreeSet<String>,
    /// What the root fields cost.
    pub cost: Vec<Cost>,
    /// The variables: name, name of the type, and how many lists the type is in.
    pub variables: Vec<(String, String, usize)>,
    aliases: usize,
}

/// What is too large, for the client to read.
pub type TooLarge = String;

type Selection<'a> = juniper::Selection<'a, Scalar>;
type Operation<'a> = juniper::Operation<'a, Scalar>;

impl Measure {
    /// The size of the operation of this name, in a document of which every operation is within the limits.
    ///
    /// # Errors
    /// What is not.
    pub fn of(document: &[Definition<'_, Scalar>], name: Option<&str>, limits: &Limits) -> Result<Self, TooLarge> {
        let mut walk = Walk::new(limits);
        let mut operations = Vec::new();
        for definition in document {
            match definition {
                Definition::Fragment(fragment) => {
                    let selections = &fragment.item.selection_set;
                    walk.fragments.insert(fragment.item.name.item, Fragment { selections, is_open: false });
                }
                Definition::Operation(operation) => operations.push(&operation.item),
            }
        }
        if operations.len() > OPERATIONS {
            return Err(format!("the document has more than {OPERATIONS} operations"));
        }
        let mut wanted = Self::default();
        for operation in operations {
            let measure = walk.operation(operation)?;
            if name.is_none() || operation.name.as_ref().map(|name| name.item) == name {
                wanted = measure;
            }
        }
        Ok(wanted)
    }
}

/// Where fields are in an operation.
#[derive(Clone, Copy)]
struct Place {
    /// The field they belong to, once those that end up as one are one.
    parent: usize,
    depth: usize,
    /// In introspection: how many lists they are in.
    looks: Option<usize>,
}

struct Fragment<'d, 'a> {
    selections: &'d [Selection<'a>],
    /// The walk is in it.
    is_open: bool,
}

/// A walk through the operations of a document, along the spreads of fragments.
struct Walk<'d, 'a> {
    limits: &'d Limits,
    fragments: HashMap<&'a str, Fragment<'d, 'a>>,
    defaults: Defaults<'a>,
    measure: Measure,
    /// The fields by parent and name in the response: their number, and how often they are there.
    fields: HashMap<(usize, &'a str), (usize, usize)>,
    /// How many selections it may still pass.
    budget: u64,
    /// How many comparisons repeated fields have made.
    repeats: usize,
}

impl<'d, 'a> Walk<'d, 'a> {
    fn new(limits: &'d Limits) -> Self {
        Self {
            limits,
            fragments: HashMap::new(),
            defaults: Defaults::new(),
            measure: Measure::default(),
            fields: HashMap::new(),
            // Each field costs one at least, and is hardly ever in more than three spreads of its own.
            budget: limits.cost.saturating_mul(4),
            repeats: 0,
        }
    }

    fn operation(&mut self, operation: &'d Operation<'a>) -> Result<Measure, TooLarge> {
        self.fields.clear();
        self.defaults.clear();
        let variables = operation.variables_definition.iter().flat_map(|definitions| &definitions.item.items);
        for (name, definition) in variables {
            let of = &definition.var_type.item;
            self.measure.variables.push((name.item.to_owned(), of.innermost_name().to_owned(), lists(of)));
            self.defaults.extend(definition.default_value.as_ref().map(|value| (name.item, page(&value.item))));
        }
        self.measure.cost = self.walk(&operation.selection_set, Place { parent: 0, depth: 1, looks: None })?;
        let variables = operation.variables_definition.iter().flat_map(|definitions| &definitions.item.items);
        for (name, definition) in variables {
            let default = definition.default_value.as_ref().map(|default| &default.item);
            if let (Some(truth), Some(InputValue::Scalar(Scalar::Boolean(is_true)))) =
                (self.measure.conditions.get_mut(name.item), default)
            {
                *truth = *is_true;
            }
        }
        Ok(std::mem::take(&mut self.measure))
    }

    fn walk(&mut self, selections: &'d [Selection<'a>], place: Place) -> Result<Vec<Cost>, TooLarge> {
        let mut costs = Vec::new();
        for selection in selections {
            let Some(budget) = self.budget.checked_sub(1) else {
                return Err(format!("the operation costs more than {}", self.limits.cost));
            };
            self.budget = budget;
            let directives = match selection {
                Selection::Field(field) => {
                    costs.push(self.field(selection, place)?);
                    &field.item.directives
                }
                Selection::FragmentSpread(spread) => {
                    costs.extend(self.fragment(spread.item.name.item, place)?);
                    &spread.item.directives
                }
                Selection::InlineFragment(inline) => {
                    costs.extend(self.walk(&inline.item.selection_set, place)?);
                    &inline.item.directives
                }
            };
            for directive in directives.iter().flatten() {
                let arguments = directive.item.arguments.iter().flat_map(|arguments| &arguments.item.items);
                let values = arguments.map(|(_, value)| &value.item);
                let conditions = values.clone().filter_map(|value| match value {
                    InputValue::Variable(name) => Some((name.clone(), false)),
                    _ => None,
                });
                self.measure.conditions.extend(conditions);
                self.uses(values);
            }
        }
        Ok(costs)
    }

    /// A fragment that is missing, or that the walk is in, is for validation to complain about.
    fn fragment(&mut self, name: &'a str, place: Place) -> Result<Vec<Cost>, TooLarge> {
        let Some(fragment) = self.fragments.get_mut(name).filter(|fragment| !fragment.is_open) else {
            return Ok(Vec::new());
        };
        fragment.is_open = true;
        let selections = fragment.selections;
        let costs = self.walk(selections, place);
        if let Some(fragment) = self.fragments.get_mut(name) {
            fragment.is_open = false;
        }
        costs
    }

    fn field(&mut self, field: &'d Selection<'a>, place: Place) -> Result<Cost, TooLarge> {
        // juniper has no name for the type of a field.
        let Selection::Field(field) = field else { return Ok(Cost::new(Times::Fixed(1), Vec::new())) };
        let field = &field.item;
        let name = field.name.item;
        self.renamed(field.alias.is_some())?;
        let arguments = || field.arguments.iter().flat_map(|arguments| &arguments.item.items);
        let (parent, is_new) = self.merged(place.parent, field.alias.as_ref().map_or(name, |alias| alias.item))?;
        self.measure.is_repetitive |= !is_new;
        if place.depth > 1 {
            self.uses(arguments().map(|(_, value)| &value.item));
        } else {
            self.measure.root_keys += usize::from(is_new);
            self.measure.roots.push(name.to_owned());
        }
        let limit = arguments().find(|(name, _)| ["first", "last"].contains(&name.item)).map(|(_, value)| &value.item);
        let (times, looks) = match place.looks {
            Some(looks) => (Times::of_introspection(name), Some(self.looked(looks, name)?)),
            None => (Times::of(name, limit, &self.defaults), name.starts_with("__").then_some(0)),
        };
        if looks.is_none() && place.depth > self.limits.depth {
            return Err(format!("the operation is nested deeper than {} fields", self.limits.depth));
        }
        let selections = field.selection_set.as_deref().unwrap_or_default();
        let fields = self.walk(selections, Place { parent, depth: place.depth + 1, looks })?;
        let has_argument = |wanted: &str| arguments().any(|(name, _)| name.item == wanted);
        Ok(Cost::new(times, fields).of_list(name, place.depth == 1, has_argument))
    }

    fn renamed(&mut self, has_alias: bool) -> Result<(), TooLarge> {
        self.measure.aliases += usize::from(has_alias);
        if self.measure.aliases > self.limits.aliases {
            return Err(format!("the operation has more than {} aliases", self.limits.aliases));
        }
        Ok(())
    }

    /// The number of a field, the same for all that end up as one, and whether it is the first of them.
    fn merged(&mut self, parent: usize, name: &'a str) -> Result<(usize, bool), TooLarge> {
        let next = self.fields.len() + 1;
        let (number, count) = self.fields.entry((parent, name)).or_insert((next, 0));
        self.repeats += *count;
        *count += 1;
        if self.repeats > REPEATS {
            return Err("the document repeats the same fields too often".into());
        }
        Ok((*number, *count == 1))
    }

    /// How many lists the fields of this field of the schema are in. Types have fields, which have types:
    /// every step multiplies, and the standard introspection query needs three.
    fn looked(&self, looks: usize, field: &str) -> Result<usize, TooLarge> {
        let lists = ["types", "fields", "args", "inputFields", "interfaces", "possibleTypes"];
        let looks = looks + usize::from(lists.contains(&field));
        if looks > LOOKS { Err("the introspection is nested too deep".into()) } else { Ok(looks) }
    }

    fn uses<'v>(&mut self, values: impl Iterator<Item = &'v InputValue>) {
        for value in values {
            self.measure.inner_variables.extend(value.referenced_variables().into_iter().map(str::to_owned));
        }
    }
}

//! The limits on the size of an operation, and the analysis that enforces them.
//!
//! The analysis runs before validation, because validation can be expensive. So the document may still be invalid:
//! fragments may be missing, contain themselves, or expand to a very large number of fields.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use juniper::Definition;

use super::cost::{Cost, DefaultPageSizes, ItemCount, page_size};
use super::scalar::Scalar;
use super::values::{InputValue, OperationNode, Selection};
use super::variables::list_depth;

/// Maximum number of operations in a document. Validation checks each operation against all fragments that it uses.
const MAX_OPERATIONS: usize = 50;
/// Maximum number of comparisons between fields with one response key. Validation compares each with each: a field that
/// is written 140 times causes this number of comparisons. The fragments of a large page cause some hundred.
const MAX_FIELD_COMPARISONS: usize = 10_000;
/// Maximum number of nested lists in introspection: types, their fields, their arguments.
const MAX_INTROSPECTION_LISTS: usize = 3;

/// The limits on the size of an operation and of its response.
#[derive(Debug, Clone, Copy)]
pub struct OperationLimits {
    /// Maximum nesting depth of fields. Introspection fields do not count.
    pub depth: usize,
    /// Maximum number of tokens in a document.
    pub tokens: usize,
    /// Maximum number of aliases in an operation.
    pub aliases: usize,
    /// Maximum number of directives in a document.
    pub directives: usize,
    /// Maximum cost of an operation, see [`Cost`].
    pub cost: u64,
    /// Maximum size in bytes of a response, of all responses of a batch, and of one subscription item.
    pub response: usize,
    /// Whether errors may suggest names of the schema.
    pub hints: bool,
}

/// The properties of an operation that later steps need.
#[derive(Debug, Default)]
pub struct Analysis {
    /// The name of the operation in the document.
    pub name: Option<String>,
    /// The names of all root fields, also of those that `@skip` or `@include` removes.
    pub roots: Vec<String>,
    /// The number of root fields with different response keys.
    pub root_keys: usize,
    /// Whether a selection set may have several fields with one response key.
    pub is_repetitive: bool,
    /// The variables that `@skip` and `@include` use, with their values for a request without these variables.
    pub conditions: BTreeMap<String, bool>,
    /// The variables that are used anywhere except in the arguments of root fields.
    pub inner_variables: BTreeSet<String>,
    /// The costs of the root fields.
    pub cost: Vec<Cost>,
    /// The variables: their name, the innermost name of their type, and the number of lists around this type.
    pub variables: Vec<(String, String, usize)>,
    aliases: usize,
}

/// The limit that an operation exceeds, as a message for the client.
pub type LimitExceeded = String;

impl Analysis {
    /// Analyzes all operations of a document, and returns the result for the operation with this name.
    ///
    /// # Errors
    /// The message for the client, if an operation of the document exceeds a limit.
    pub fn of(
        document: &[Definition<'_, Scalar>],
        name: Option<&str>,
        limits: &OperationLimits,
    ) -> Result<Self, LimitExceeded> {
        let mut analyzer = Analyzer::new(limits);
        let mut operations = Vec::new();
        for definition in document {
            match definition {
                Definition::Fragment(fragment) => {
                    let selections = &fragment.item.selection_set;
                    analyzer.fragments.insert(fragment.item.name.item, Fragment { selections, is_visiting: false });
                }
                Definition::Operation(operation) => operations.push(&operation.item),
            }
        }
        if operations.len() > MAX_OPERATIONS {
            return Err(format!("the document has more than {MAX_OPERATIONS} operations"));
        }
        let mut selected = Self::default();
        for operation in operations {
            let analysis = analyzer.operation(operation)?;
            if name.is_none() || operation.name.as_ref().map(|name| name.item) == name {
                selected = Self { name: operation.name.as_ref().map(|name| name.item.to_owned()), ..analysis };
            }
        }
        Ok(selected)
    }
}

/// The position of a selection set in an operation.
#[derive(Clone, Copy)]
struct Scope {
    /// The number of the parent field. All occurrences of a field share one number. 0 stands for the operation.
    parent: usize,
    /// The nesting depth of the fields. Root fields have depth 1.
    depth: usize,
    /// The number of lists around the fields, counted in introspection only. `None` outside introspection.
    introspection_lists: Option<usize>,
}

struct Fragment<'d, 'a> {
    selections: &'d [Selection<'a>],
    /// The analyzer is inside this fragment. A spread of the fragment in itself is not followed.
    is_visiting: bool,
}

/// Walks through the operations of a document, and follows the spreads of fragments.
struct Analyzer<'d, 'a> {
    limits: &'d OperationLimits,
    fragments: HashMap<&'a str, Fragment<'d, 'a>>,
    /// The default values of the current operation's variables, as page sizes.
    defaults: DefaultPageSizes<'a>,
    /// The analysis of the current operation.
    analysis: Analysis,
    /// The fields by parent and response key: the number of the merged field, and the number of its occurrences.
    fields: HashMap<(usize, &'a str), (usize, usize)>,
    /// The number of selections that may still be visited, in the whole document.
    budget: u64,
    /// The number of comparisons that validation will make for repeated fields.
    comparisons: usize,
}

impl<'d, 'a> Analyzer<'d, 'a> {
    fn new(limits: &'d OperationLimits) -> Self {
        Self {
            limits,
            fragments: HashMap::new(),
            defaults: DefaultPageSizes::new(),
            analysis: Analysis::default(),
            fields: HashMap::new(),
            // The most fields and fragments in a document. Each field costs at least 1, so four times the cost limit
            // leaves room for three fragments per field.
            budget: limits.cost.saturating_mul(4),
            comparisons: 0,
        }
    }

    fn operation(&mut self, operation: &'d OperationNode<'a>) -> Result<Analysis, LimitExceeded> {
        self.fields.clear();
        self.defaults.clear();
        let variables = operation.variables_definition.iter().flat_map(|definitions| &definitions.item.items);
        for (name, definition) in variables {
            let variable_type = &definition.var_type.item;
            let type_name = variable_type.innermost_name().to_owned();
            self.analysis.variables.push((name.item.to_owned(), type_name, list_depth(variable_type)));
            self.defaults.extend(definition.default_value.as_ref().map(|value| (name.item, page_size(&value.item))));
        }
        let root = Scope { parent: 0, depth: 1, introspection_lists: None };
        self.analysis.cost = self.selections(&operation.selection_set, root)?;
        let variables = operation.variables_definition.iter().flat_map(|definitions| &definitions.item.items);
        for (name, definition) in variables {
            let default = definition.default_value.as_ref().map(|default| &default.item);
            if let (Some(condition), Some(InputValue::Scalar(Scalar::Boolean(is_true)))) =
                (self.analysis.conditions.get_mut(name.item), default)
            {
                *condition = *is_true;
            }
        }
        Ok(std::mem::take(&mut self.analysis))
    }

    /// The costs of the fields in a selection set and in its fragments.
    fn selections(&mut self, selections: &'d [Selection<'a>], scope: Scope) -> Result<Vec<Cost>, LimitExceeded> {
        let mut costs = Vec::new();
        for selection in selections {
            let Some(budget) = self.budget.checked_sub(1) else {
                return Err(format!("the operation costs more than {}", self.limits.cost));
            };
            self.budget = budget;
            let directives = match selection {
                Selection::Field(field) => {
                    costs.push(self.field(selection, scope)?);
                    &field.item.directives
                }
                Selection::FragmentSpread(spread) => {
                    costs.extend(self.fragment(spread.item.name.item, scope)?);
                    &spread.item.directives
                }
                Selection::InlineFragment(inline) => {
                    costs.extend(self.selections(&inline.item.selection_set, scope)?);
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
                self.analysis.conditions.extend(conditions);
                self.add_variables(values);
            }
        }
        Ok(costs)
    }

    /// The costs of the fields in a fragment. A missing fragment, or one that contains itself, has no cost here:
    /// validation refuses it.
    fn fragment(&mut self, name: &'a str, scope: Scope) -> Result<Vec<Cost>, LimitExceeded> {
        let Some(fragment) = self.fragments.get_mut(name).filter(|fragment| !fragment.is_visiting) else {
            return Ok(Vec::new());
        };
        fragment.is_visiting = true;
        let selections = fragment.selections;
        let costs = self.selections(selections, scope);
        if let Some(fragment) = self.fragments.get_mut(name) {
            fragment.is_visiting = false;
        }
        costs
    }

    fn field(&mut self, field: &'d Selection<'a>, scope: Scope) -> Result<Cost, LimitExceeded> {
        // juniper does not export the type of a field, so the parameter is the whole selection.
        let Selection::Field(field) = field else { return Ok(Cost::new(ItemCount::Fixed(1), Vec::new())) };
        let field = &field.item;
        let name = field.name.item;
        self.count_alias(field.alias.is_some())?;
        let arguments = || field.arguments.iter().flat_map(|arguments| &arguments.item.items);
        let (parent, is_new) =
            self.merged_field(scope.parent, field.alias.as_ref().map_or(name, |alias| alias.item))?;
        self.analysis.is_repetitive |= !is_new;
        if scope.depth > 1 {
            self.add_variables(arguments().map(|(_, value)| &value.item));
        } else {
            self.analysis.root_keys += usize::from(is_new);
            self.analysis.roots.push(name.to_owned());
        }
        let limit = arguments().find(|(name, _)| ["first", "last"].contains(&name.item)).map(|(_, value)| &value.item);
        let (items, introspection_lists) = match scope.introspection_lists {
            Some(lists) => (ItemCount::of_introspection(name), Some(Self::introspection_lists(lists, name)?)),
            None => (ItemCount::of(name, limit, &self.defaults), name.starts_with("__").then_some(0)),
        };
        if introspection_lists.is_none() && scope.depth > self.limits.depth {
            return Err(format!("the operation is nested deeper than {} fields", self.limits.depth));
        }
        let selections = field.selection_set.as_deref().unwrap_or_default();
        let fields = self.selections(selections, Scope { parent, depth: scope.depth + 1, introspection_lists })?;
        let has_argument = |argument: &str| arguments().any(|(name, _)| name.item == argument);
        Ok(Cost::new(items, fields).of_list(name, scope.depth == 1, has_argument))
    }

    fn count_alias(&mut self, has_alias: bool) -> Result<(), LimitExceeded> {
        self.analysis.aliases += usize::from(has_alias);
        if self.analysis.aliases > self.limits.aliases {
            return Err(format!("the operation has more than {} aliases", self.limits.aliases));
        }
        Ok(())
    }

    /// The number of the field with this response key, which is the same for all its occurrences. The second value is
    /// true for the first occurrence.
    fn merged_field(&mut self, parent: usize, key: &'a str) -> Result<(usize, bool), LimitExceeded> {
        let next = self.fields.len() + 1;
        let (number, count) = self.fields.entry((parent, key)).or_insert((next, 0));
        self.comparisons += *count;
        *count += 1;
        if self.comparisons > MAX_FIELD_COMPARISONS {
            return Err("the document repeats the same fields too often".into());
        }
        Ok((*number, *count == 1))
    }

    /// The number of lists around the subfields of an introspection field. Each list multiplies the size of the
    /// response. The standard introspection query nests three lists.
    fn introspection_lists(outer: usize, field: &str) -> Result<usize, LimitExceeded> {
        let list_fields = ["types", "fields", "args", "inputFields", "interfaces", "possibleTypes"];
        let lists = outer + usize::from(list_fields.contains(&field));
        if lists > MAX_INTROSPECTION_LISTS { Err("the introspection is nested too deep".into()) } else { Ok(lists) }
    }

    /// Adds the variables that these argument values refer to.
    fn add_variables<'v>(&mut self, values: impl Iterator<Item = &'v InputValue>) {
        for value in values {
            self.analysis.inner_variables.extend(value.referenced_variables().into_iter().map(str::to_owned));
        }
    }
}

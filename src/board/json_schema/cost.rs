//! The cost of checking data by a JSON Schema, computed from the schema alone.
//!
//! A subschema applies other subschemas to the same value (`allOf`, `$ref`) and to the parts of the value (`properties`,
//! `items`). The cost of a path through the data is the sum over all subschemas that are applied to the values on the
//! path. It is computed for data that is as deeply nested as data can be. A schema that refers to itself once for each
//! level, such as a tree, costs little. One that does so twice for each level doubles the cost with every level.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::references::referenced;

/// How deeply data can be nested.
const MAX_DEPTH: usize = 127;
/// The most keywords that one value of the data is compared with.
const MAX_STEPS: usize = 10_000;
/// The most subschemas that are applied within each other. Each takes some calls on the stack.
const MAX_NESTING: usize = 512;

/// Keywords with a list of schemas for the same value.
const SAME_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Keywords with a schema for the same value.
const SAME: [&str; 4] = ["not", "if", "then", "else"];
/// Keywords that could refer to a schema in a way that is not followed here.
const UNSUPPORTED: [&str; 3] = ["$dynamicRef", "$recursiveRef", "$vocabulary"];

/// The most steps that checking one value of the data takes.
///
/// # Errors
/// A sentence for the client, if they are too many, or the schema refers to other documents.
pub(super) fn steps_per_value(schema: &Value) -> Result<usize, String> {
    if has_inner_id(schema, true) {
        return Err("$id is only supported at the top of a schema".into());
    }
    let mut graph = Graph { root: schema, indexes: HashMap::new(), nodes: Vec::new() };
    graph.add(schema)?;
    let order = graph.order()?;
    let mut costs = vec![Cost::default(); graph.nodes.len()];
    for _ in 0..=MAX_DEPTH {
        let deeper = costs.clone();
        for index in &order {
            costs[*index] = graph.nodes[*index].cost(&costs, &deeper);
        }
    }
    let Cost { steps, nesting } = costs[0];
    if steps > MAX_STEPS || nesting > MAX_NESTING {
        let why = "checking data could take too long: let fewer schemas apply to the same value, and let a schema refer \
                   to itself at most once for each part of a value";
        return Err(why.into());
    }
    Ok(steps)
}

/// The cost of the most expensive path through the data.
#[derive(Clone, Copy, Default)]
struct Cost {
    steps: usize,
    nesting: usize,
}

/// The subschemas that the check can reach.
struct Graph<'s> {
    root: &'s Value,
    /// The index of a subschema by its address.
    indexes: HashMap<*const Value, usize>,
    nodes: Vec<Node>,
}

/// A subschema.
#[derive(Default)]
struct Node {
    /// How many keywords it has, and how many names and values these list.
    own: usize,
    /// The subschemas for the same value.
    same: Vec<usize>,
    /// The subschemas for parts of the value. Each part is checked by one of `either`, and by all of `all`.
    either: Vec<usize>,
    all: Vec<usize>,
}

impl Node {
    fn cost(&self, costs: &[Cost], deeper: &[Cost]) -> Cost {
        let of = |costs: &[Cost], indexes: &[usize]| {
            indexes.iter().map(|index| costs[*index]).fold(Cost::default(), |sum, cost| Cost {
                steps: sum.steps.saturating_add(cost.steps),
                nesting: sum.nesting.max(cost.nesting),
            })
        };
        let (same, all) = (of(costs, &self.same), of(deeper, &self.all));
        let either = self.either.iter().map(|index| deeper[*index]);
        let (most, deepest) =
            either.fold((0, 0), |(steps, nesting), cost| (steps.max(cost.steps), nesting.max(cost.nesting)));
        Cost {
            steps: self.own.saturating_add(same.steps).saturating_add(all.steps).saturating_add(most),
            nesting: 1 + same.nesting.max(all.nesting).max(deepest),
        }
    }
}

impl<'s> Graph<'s> {
    /// Adds a subschema and all that it reaches. Returns its index.
    fn add(&mut self, schema: &'s Value) -> Result<usize, String> {
        if let Some(index) = self.indexes.get(&std::ptr::from_ref(schema)) {
            return Ok(*index);
        }
        let index = self.nodes.len();
        self.indexes.insert(schema, index);
        self.nodes.push(Node { own: 1, ..Node::default() });
        let Value::Object(object) = schema else { return Ok(index) };
        if let Some(name) = UNSUPPORTED.iter().find(|name| object.contains_key(**name)) {
            return Err(format!("{name} is not supported"));
        }
        let own = 1 + object.values().map(entries).sum::<usize>();
        let node = Node { own, same: self.same(object)?, either: self.either(object)?, all: self.all(object)? };
        self.nodes[index] = node;
        Ok(index)
    }

    fn same(&mut self, object: &'s Map<String, Value>) -> Result<Vec<usize>, String> {
        let mut found = self.lists(object, &SAME_LISTS)?;
        found.extend(self.singles(object, &SAME)?);
        found.extend(self.maps(object, "dependentSchemas")?);
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            let target = self.target(reference)?;
            found.push(self.add(target)?);
        }
        Ok(found)
    }

    fn either(&mut self, object: &'s Map<String, Value>) -> Result<Vec<usize>, String> {
        let mut found = self.maps(object, "properties")?;
        found.extend(self.singles(object, &["additionalProperties", "items"])?);
        found.extend(self.lists(object, &["prefixItems"])?);
        Ok(found)
    }

    fn all(&mut self, object: &'s Map<String, Value>) -> Result<Vec<usize>, String> {
        let mut found = self.maps(object, "patternProperties")?;
        found
            .extend(self.singles(object, &["propertyNames", "contains", "unevaluatedProperties", "unevaluatedItems"])?);
        Ok(found)
    }

    fn lists(&mut self, object: &'s Map<String, Value>, keywords: &[&str]) -> Result<Vec<usize>, String> {
        let lists = keywords.iter().filter_map(|keyword| object.get(*keyword)?.as_array());
        lists.flatten().map(|schema| self.add(schema)).collect()
    }

    fn singles(&mut self, object: &'s Map<String, Value>, keywords: &[&str]) -> Result<Vec<usize>, String> {
        keywords.iter().filter_map(|keyword| object.get(*keyword)).map(|schema| self.add(schema)).collect()
    }

    fn maps(&mut self, object: &'s Map<String, Value>, keyword: &str) -> Result<Vec<usize>, String> {
        let map = object.get(keyword).and_then(Value::as_object);
        map.into_iter().flat_map(Map::values).map(|schema| self.add(schema)).collect()
    }

    /// The subschema that `$ref` names.
    fn target(&self, reference: &str) -> Result<&'s Value, String> {
        let shown = || reference.chars().take(100).collect::<String>();
        if !reference.starts_with('#') {
            return Err(format!("$ref \"{}\" is not supported: it must begin with #", shown()));
        }
        referenced(self.root, reference).ok_or_else(|| format!("$ref \"{}\" names no part of the schema", shown()))
    }

    /// The indexes of all subschemas, each after those that it applies to the same value.
    fn order(&self) -> Result<Vec<usize>, String> {
        let mut missing: Vec<usize> = self.nodes.iter().map(|node| node.same.len()).collect();
        let mut users = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            node.same.iter().for_each(|used| users[*used].push(index));
        }
        let mut order: Vec<usize> = (0..missing.len()).filter(|index| missing[*index] == 0).collect();
        let mut next = 0;
        while let Some(index) = order.get(next).copied() {
            next += 1;
            for user in &users[index] {
                missing[*user] -= 1;
                if missing[*user] == 0 {
                    order.push(*user);
                }
            }
        }
        if order.len() < self.nodes.len() {
            return Err("a schema refers to itself for the same value, which would never end".into());
        }
        Ok(order)
    }
}

fn entries(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.len(),
        Value::Object(object) => 1 + object.len(),
        _ => 1,
    }
}

/// Whether a part of a schema has an address of its own. References in it would be relative to that address.
fn has_inner_id(value: &Value, is_top: bool) -> bool {
    match value {
        Value::Object(object) => {
            let has_id = !is_top && object.get("$id").is_some_and(Value::is_string);
            has_id || object.values().any(|part| has_inner_id(part, false))
        }
        Value::Array(list) => list.iter().any(|part| has_inner_id(part, false)),
        _ => false,
    }
}

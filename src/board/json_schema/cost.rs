//! The cost of checking data by a JSON Schema, computed from the schema alone.
//!
//! A subschema applies other subschemas to the same value (`allOf`, `$ref`) and to the parts of the value (`properties`,
//! `items`). The cost of a path through the data is the sum over all subschemas that are applied to the values on the
//! path. It is computed for data that is as deeply nested as data can be. A schema that refers to itself once for each
//! level, such as a tree, costs little. One that does so twice for each level doubles the cost with every level.

use std::collections::{HashMap, HashSet};

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
/// Keywords that apply a schema in a way that is not followed here, some of them of older versions.
const UNSUPPORTED: [&str; 5] = ["$dynamicRef", "$recursiveRef", "$vocabulary", "dependencies", "additionalItems"];
/// The steps that comparing a text with a pattern takes.
const PATTERN_STEPS: usize = 500;

/// The most steps that checking one value of the data takes.
///
/// # Errors
/// A sentence for the client, if they are too many, or the schema refers to other documents.
pub(super) fn steps_per_value(schema: &Value) -> Result<usize, String> {
    if has_inner(schema, true, &["$id", "$schema"]) {
        return Err("$id and $schema are only supported at the top of a schema".into());
    }
    let mut anchors = HashSet::new();
    if !collect_anchors(schema, &mut anchors) {
        return Err("two parts of the schema have the same $anchor".into());
    }
    let mut graph = Graph { root: schema, indexes: HashMap::new(), nodes: Vec::new() };
    graph.add(schema, 0)?;
    let order = graph.order()?;
    let mut costs = vec![Cost::default(); graph.nodes.len()];
    for _ in 0..=MAX_DEPTH {
        let deeper = costs.clone();
        for index in &order {
            costs[*index] = graph.nodes[*index].cost(&costs, &deeper);
        }
    }
    let Cost { steps, nesting, .. } = costs[0];
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
    /// The steps to find out what a schema has evaluated. `unevaluatedProperties` and `unevaluatedItems` need them, and the
    /// check takes them in addition.
    marking: usize,
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
    /// Whether the subschema refers to what others have evaluated.
    is_unevaluated: bool,
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
                marking: sum.marking.saturating_add(cost.marking),
                nesting: sum.nesting.max(cost.nesting),
            })
        };
        let (same, all) = (of(costs, &self.same), of(deeper, &self.all));
        let either = self.either.iter().map(|index| deeper[*index]);
        let (most, deepest) =
            either.fold((0, 0), |(steps, nesting), cost| (steps.max(cost.steps), nesting.max(cost.nesting)));
        let steps = self.own.saturating_add(same.steps).saturating_add(all.steps).saturating_add(most);
        // The same subschemas are applied again, and so are those of all parts, such as `contains`.
        let marking = steps.saturating_add(same.marking);
        Cost {
            steps: if self.is_unevaluated { steps.saturating_add(marking) } else { steps },
            marking,
            nesting: 1 + same.nesting.max(all.nesting).max(deepest),
        }
    }
}

impl<'s> Graph<'s> {
    /// Adds a subschema and all that it reaches. Returns its index.
    /// `depth` counts the subschemas that led to this one.
    fn add(&mut self, schema: &'s Value, depth: usize) -> Result<usize, String> {
        if depth > MAX_NESTING {
            return Err("the schema has too many parts within each other".into());
        }
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
        let own = 1 + object.values().map(entries).sum::<usize>() + PATTERN_STEPS * patterns_of(object);
        let is_unevaluated =
            ["unevaluatedProperties", "unevaluatedItems"].iter().any(|name| object.contains_key(*name));
        let depth = depth + 1;
        let (same, either, all) = (self.same(object, depth)?, self.either(object, depth)?, self.all(object, depth)?);
        self.nodes[index] = Node { own, is_unevaluated, same, either, all };
        Ok(index)
    }

    fn same(&mut self, object: &'s Map<String, Value>, depth: usize) -> Result<Vec<usize>, String> {
        let mut found = self.lists(object, &SAME_LISTS, depth)?;
        found.extend(self.singles(object, &SAME, depth)?);
        found.extend(self.maps(object, "dependentSchemas", depth)?);
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            let target = self.target(reference)?;
            found.push(self.add(target, depth)?);
        }
        Ok(found)
    }

    fn either(&mut self, object: &'s Map<String, Value>, depth: usize) -> Result<Vec<usize>, String> {
        let mut found = self.maps(object, "properties", depth)?;
        found.extend(self.singles(object, &["additionalProperties", "items"], depth)?);
        found.extend(self.lists(object, &["prefixItems"], depth)?);
        Ok(found)
    }

    fn all(&mut self, object: &'s Map<String, Value>, depth: usize) -> Result<Vec<usize>, String> {
        let mut found = self.maps(object, "patternProperties", depth)?;
        found.extend(self.singles(
            object,
            &["propertyNames", "contains", "unevaluatedProperties", "unevaluatedItems"],
            depth,
        )?);
        Ok(found)
    }

    fn lists(&mut self, object: &'s Map<String, Value>, keywords: &[&str], depth: usize) -> Result<Vec<usize>, String> {
        let lists = keywords.iter().filter_map(|keyword| object.get(*keyword)?.as_array());
        lists.flatten().map(|schema| self.add(schema, depth)).collect()
    }

    fn singles(
        &mut self,
        object: &'s Map<String, Value>,
        keywords: &[&str],
        depth: usize,
    ) -> Result<Vec<usize>, String> {
        keywords.iter().filter_map(|keyword| object.get(*keyword)).map(|schema| self.add(schema, depth)).collect()
    }

    fn maps(&mut self, object: &'s Map<String, Value>, keyword: &str, depth: usize) -> Result<Vec<usize>, String> {
        let map = object.get(keyword).and_then(Value::as_object);
        map.into_iter().flat_map(Map::values).map(|schema| self.add(schema, depth)).collect()
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

/// Whether a part below the top of a schema has one of these keywords with a text. They would change the meaning of
/// references or of other keywords in it.
fn has_inner(value: &Value, is_top: bool, keywords: &[&str]) -> bool {
    match value {
        Value::Object(object) => {
            let has_any = !is_top && keywords.iter().any(|name| object.get(*name).is_some_and(Value::is_string));
            has_any || object.values().any(|part| has_inner(part, false, keywords))
        }
        Value::Array(list) => list.iter().any(|part| has_inner(part, false, keywords)),
        _ => false,
    }
}

/// Collects the names that `$ref` can use; returns `false` if one occurs twice. `$ref` would then be ambiguous, also if one
/// of them is in a place that is no schema, such as `const`.
fn collect_anchors<'s>(value: &'s Value, anchors: &mut HashSet<&'s str>) -> bool {
    match value {
        Value::Object(object) => {
            let mut names = ["$anchor", "$dynamicAnchor"].iter().filter_map(|name| object.get(*name)?.as_str());
            names.all(|name| anchors.insert(name)) && object.values().all(|part| collect_anchors(part, anchors))
        }
        Value::Array(list) => list.iter().all(|part| collect_anchors(part, anchors)),
        _ => true,
    }
}

/// The number of patterns of a subschema.
pub(super) fn patterns_of(object: &Map<String, Value>) -> usize {
    let by_name = object.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
    by_name + usize::from(object.get("pattern").is_some_and(Value::is_string))
}

//! Random selections, their text, and a reference implementation of CollectFields and ExecuteSelectionSet over known
//! data. It is written to be compared with the specification.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use crate::fuzz::choices::Choices;

/// The tested part of the schema: types, and the name, arguments and type of their fields.
type Fields = &'static [(&'static str, &'static str, &'static str)];
const TYPES: &[(&str, Fields)] = &[
    (
        "Query",
        &[("cursor", "", ""), ("channel", "(id: 1)", "Channel"), ("channels", "(first: 2)", "ChannelConnection")],
    ),
    ("ChannelConnection", &[("nodes", "", "Channel")]),
    (
        "Channel",
        &[("id", "", ""), ("name", "", ""), ("description", "", ""), ("messages", "(first: 2)", "MessageConnection")],
    ),
    ("MessageConnection", &[("nodes", "", "Message")]),
    (
        "Message",
        &[("id", "", ""), ("title", "", ""), ("content", "", ""), ("author", "", "User"), ("ticket", "", "Ticket")],
    ),
    ("Ticket", &[("status", "", ""), ("assignee", "", "User")]),
    ("User", &[("id", "", ""), ("username", "", "")]),
    ("Comment", &[("id", "", ""), ("content", "", ""), ("author", "", "User")]),
    ("Subscription", &[("events", "(after: $after)", "Event")]),
    ("Event", &[("cursor", "", ""), ("at", "", ""), ("actorId", "", "")]),
    ("ChannelAdded", &[("cursor", "", ""), ("channel", "", "Channel")]),
    ("MessageAdded", &[("cursor", "", ""), ("actorId", "", ""), ("message", "", "Message")]),
    ("MessageUpdated", &[("at", "", ""), ("message", "", "Message")]),
    ("CommentAdded", &[("cursor", "", ""), ("comment", "", "Comment")]),
];
const EVENTS: [&str; 4] = ["ChannelAdded", "MessageAdded", "MessageUpdated", "CommentAdded"];

/// A selection with its directives.
struct Selection {
    kind: Kind,
    directives: Vec<(&'static str, Condition)>,
}

enum Kind {
    Field { key: String, name: &'static str, arguments: &'static str, of: &'static str, selections: Vec<Selection> },
    Inline { on: Option<&'static str>, selections: Vec<Selection> },
    Spread(usize),
}

#[derive(Clone, Copy)]
enum Condition {
    Literal(bool),
    Variable(&'static str),
}

/// The values of the variables `$a` and `$b`.
#[derive(Clone, Copy)]
pub struct VariableValues {
    pub a: bool,
    pub b: bool,
}

/// An operation and the fragments of its document.
pub struct Document {
    root: &'static str,
    selections: Vec<Selection>,
    fragments: Vec<(&'static str, Vec<Selection>)>,
}

fn fields(of: &str) -> Fields {
    TYPES.iter().find(|(name, _)| *name == of).expect("a type").1
}

/// The types that a fragment may have in its type condition at a place of this type.
fn conditions(of: &'static str) -> Vec<&'static str> {
    match of {
        "Event" => ["Event"].into_iter().chain(EVENTS).collect(),
        of if EVENTS.contains(&of) => vec![of, "Event"],
        of => vec![of],
    }
}

/// DoesFragmentTypeApply of the specification.
fn applies(condition: &str, object: &str) -> bool {
    condition == object || condition == "Event" && EVENTS.contains(&object)
}

impl Document {
    /// Generates a random document.
    pub fn new(root: &'static str, choices: &mut Choices<'_>) -> Self {
        let types: Vec<&str> = match root {
            "Query" => vec!["Query", "Channel", "Message", "User", "ChannelConnection"],
            _ => vec!["Subscription", "Event", "MessageAdded", "Message", "User", "MessageUpdated"],
        };
        let ons: Vec<&str> = (0..choices.below(4)).map(|_| *choices.one(&types)).collect();
        let mut fragments = Vec::new();
        for number in 0..ons.len() {
            fragments.push((ons[number], selections(ons[number], &ons, number + 1, 4, choices)));
        }
        Self { root, selections: selections(root, &ons, 0, 7, choices), fragments }
    }

    /// The document as a client sends it.
    pub fn text(&self) -> String {
        let mut body = String::new();
        write_selections(&mut body, &self.selections);
        let mut used = BTreeSet::new();
        self.reach(&self.selections, &mut used);
        for number in used {
            let (on, selections) = &self.fragments[number];
            let _ = write!(body, " fragment F{number} on {on} ");
            write_selections(&mut body, selections);
        }
        let variables = [("$after", "$after: Cursor"), ("$a", "$a: Boolean!"), ("$b", "$b: Boolean = true")];
        let used = |name: &str| body.contains(&format!("{name})"));
        let variables: Vec<&str> =
            variables.iter().filter(|(name, _)| used(name)).map(|(_, definition)| *definition).collect();
        let variables = if variables.is_empty() { String::new() } else { format!("({})", variables.join(", ")) };
        let keyword = if self.root == "Query" { "query" } else { "subscription" };
        format!("{keyword} Q{variables} {body}")
    }

    fn reach(&self, selections: &[Selection], used: &mut BTreeSet<usize>) {
        for selection in selections {
            match &selection.kind {
                Kind::Field { selections, .. } | Kind::Inline { selections, .. } => self.reach(selections, used),
                Kind::Spread(number) => {
                    used.insert(*number);
                    self.reach(&self.fragments[*number].1, used);
                }
            }
        }
    }

    /// The data of the response, as JSON in the key order that the specification requires.
    pub fn execute(&self, values: VariableValues, data: &Value) -> String {
        let mut out = String::new();
        self.execute_selections(&mut out, values, self.root, &[&self.selections], data);
        out
    }

    fn execute_selections(
        &self,
        out: &mut String,
        values: VariableValues,
        of: &str,
        sets: &[&[Selection]],
        data: &Value,
    ) {
        let object = data["__typename"].as_str().unwrap_or(of);
        let (mut groups, mut visited) = (Vec::new(), BTreeSet::new());
        for selections in sets {
            self.collect(&mut groups, &mut visited, values, object, selections);
        }
        out.push('{');
        for (number, (key, occurrences)) in groups.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            let _ = write!(out, "{comma}\"{key}\":");
            let Kind::Field { name, of, .. } = &occurrences[0].kind else { unreachable!("fields are collected") };
            let sets = occurrences.iter().filter_map(|occurrence| match &occurrence.kind {
                Kind::Field { selections, .. } => Some(selections.as_slice()),
                _ => None,
            });
            let sets: Vec<&[Selection]> = sets.collect();
            match (*name, &data[*name]) {
                ("__typename", _) => drop(write!(out, "\"{object}\"")),
                (_, value) if of.is_empty() || value.is_null() => drop(write!(out, "{value}")),
                (_, Value::Array(items)) => {
                    out.push('[');
                    for (number, item) in items.iter().enumerate() {
                        out.push_str(if number > 0 { "," } else { "" });
                        self.execute_selections(out, values, of, &sets, item);
                    }
                    out.push(']');
                }
                (_, value) => self.execute_selections(out, values, of, &sets, value),
            }
        }
        out.push('}');
    }

    fn collect<'d>(
        &'d self,
        groups: &mut Vec<(&'d str, Vec<&'d Selection>)>,
        visited: &mut BTreeSet<usize>,
        values: VariableValues,
        object: &str,
        selections: &'d [Selection],
    ) {
        for selection in selections.iter().filter(|selection| selection.is_there(values)) {
            match &selection.kind {
                Kind::Field { key, .. } => match groups.iter_mut().find(|(known, _)| known == key) {
                    Some((_, group)) => group.push(selection),
                    None => groups.push((key, vec![selection])),
                },
                Kind::Inline { on, selections } => {
                    if on.is_none_or(|on| applies(on, object)) {
                        self.collect(groups, visited, values, object, selections);
                    }
                }
                Kind::Spread(number) => {
                    let (on, selections) = &self.fragments[*number];
                    if visited.insert(*number) && applies(on, object) {
                        self.collect(groups, visited, values, object, selections);
                    }
                }
            }
        }
    }
}

impl Selection {
    fn is_there(&self, values: VariableValues) -> bool {
        self.directives.iter().all(|(name, condition)| {
            let is_true = match condition {
                Condition::Literal(is_true) => *is_true,
                Condition::Variable("$a") => values.a,
                Condition::Variable(_) => values.b,
            };
            (*name == "include") == is_true
        })
    }
}

fn selections(
    of: &'static str,
    fragments: &[&'static str],
    from: usize,
    depth: usize,
    choices: &mut Choices<'_>,
) -> Vec<Selection> {
    let count = 1 + choices.below(4);
    (0..count).map(|_| selection(of, fragments, from, depth, choices)).collect()
}

fn selection(
    of: &'static str,
    fragments: &[&'static str],
    from: usize,
    depth: usize,
    choices: &mut Choices<'_>,
) -> Selection {
    let directives = directives(choices);
    let allowed = conditions(of);
    let spreads: Vec<usize> = (from..fragments.len()).filter(|number| allowed.contains(&fragments[*number])).collect();
    let kind = match choices.below(8) {
        1 if !spreads.is_empty() => Kind::Spread(*choices.one(&spreads)),
        2 | 3 if depth > 0 => {
            let on = if choices.below(4) == 1 { None } else { Some(*choices.one(&allowed)) };
            Kind::Inline { on, selections: selections(on.unwrap_or(of), fragments, from, depth - 1, choices) }
        }
        4 if of != "Subscription" => field(of, ("__typename", "", ""), Vec::new(), choices),
        _ => {
            let chosen = *choices.one(fields(of));
            if chosen.2.is_empty() || depth == 0 && of != "Subscription" {
                let leaf = if chosen.2.is_empty() { chosen } else { ("__typename", "", "") };
                field(of, leaf, Vec::new(), choices)
            } else {
                let inner = selections(chosen.2, fragments, from, depth.saturating_sub(1), choices);
                field(of, chosen, inner, choices)
            }
        }
    };
    Selection { kind, directives }
}

fn field(
    of: &str,
    (name, arguments, inner): (&'static str, &'static str, &'static str),
    selections: Vec<Selection>,
    choices: &mut Choices<'_>,
) -> Kind {
    // A response key has one meaning everywhere. Otherwise the document would be invalid.
    let has_alias = of != "Subscription" && choices.below(12) == 1;
    let key = if has_alias { format!("_{name}") } else { name.to_owned() };
    Kind::Field { key, name, arguments, of: inner, selections }
}

fn directives(choices: &mut Choices<'_>) -> Vec<(&'static str, Condition)> {
    let conditions =
        [Condition::Variable("$a"), Condition::Variable("$b"), Condition::Literal(true), Condition::Literal(false)];
    match choices.below(10) {
        1 => vec![("include", *choices.one(&conditions))],
        2 => vec![("skip", *choices.one(&conditions))],
        3 => vec![("skip", *choices.one(&conditions)), ("include", *choices.one(&conditions))],
        _ => Vec::new(),
    }
}

fn write_selections(out: &mut String, selections: &[Selection]) {
    out.push('{');
    for Selection { kind, directives } in selections {
        let words = match kind {
            Kind::Field { key, name, arguments, .. } if key == name => format!(" {name}{arguments}"),
            Kind::Field { key, name, arguments, .. } => format!(" {key}: {name}{arguments}"),
            Kind::Inline { on: Some(on), .. } => format!(" ... on {on}"),
            Kind::Inline { on: None, .. } => " ...".to_owned(),
            Kind::Spread(number) => format!(" ...F{number}"),
        };
        out.push_str(&words);
        for (name, condition) in directives {
            let _ = match condition {
                Condition::Literal(is_true) => write!(out, " @{name}(if: {is_true})"),
                Condition::Variable(variable) => write!(out, " @{name}(if: {variable})"),
            };
        }
        match kind {
            Kind::Field { selections, .. } | Kind::Inline { selections, .. } if !selections.is_empty() => {
                write_selections(out, selections);
            }
            _ => {}
        }
    }
    out.push('}');
}

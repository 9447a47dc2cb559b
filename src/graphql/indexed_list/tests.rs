//! Compares the execution of lists with a reference model of the GraphQL specification. The fields of the test schema
//! fail as the test data says.

use futures_util::FutureExt as _;
use juniper::{EmptyMutation, EmptySubscription, RootNode, graphql_object};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::List;
use crate::graphql::errors::execution_errors;
use crate::graphql::scalar::Scalar;

type Schema = RootNode<Node, EmptyMutation, EmptySubscription, Scalar>;

/// An object with lists of objects. The fields `lax` and `strict` fail if `fails` is set.
#[derive(Debug, Clone)]
struct Node {
    fails: bool,
    items: Vec<Self>,
}

#[graphql_object(scalar = Scalar)]
impl Node {
    fn lax(&self) -> Result<Option<i32>, &'static str> {
        if self.fails { Err("lax") } else { Ok(Some(1)) }
    }

    fn nothing(&self) -> Option<i32> {
        None
    }

    fn strict(&self) -> Result<i32, &'static str> {
        if self.fails { Err("strict") } else { Ok(2) }
    }

    fn items(&self) -> List<Node> {
        self.items.iter().cloned().collect()
    }

    fn maybe(&self) -> Option<List<Node>> {
        Some(self.items())
    }
}

fn leaf(fails: bool) -> Node {
    Node { fails, items: Vec::new() }
}

fn schema(root: Node) -> Schema {
    RootNode::new_with_scalar_value(root, EmptyMutation::new(), EmptySubscription::new())
}

/// The paths of errors, sorted as text. juniper sorts errors by their location in the document.
fn paths(errors: &[juniper::ExecutionError<Scalar>]) -> Vec<Json> {
    let Json::Array(errors) = execution_errors(errors) else { return Vec::new() };
    sorted(errors.into_iter().map(|mut error| error["path"].take()).collect())
}

fn sorted(mut paths: Vec<Json>) -> Vec<Json> {
    paths.sort_by_key(Json::to_string);
    paths
}

/// Executes a document with juniper's synchronous executor. Returns the data as JSON text, and the paths of the errors.
fn execute(root: Node, document: &str) -> (String, Vec<Json>) {
    let response = juniper::execute_sync(document, None, &schema(root), &juniper::Variables::new(), &());
    let (value, errors) = response.expect("the document is valid");
    (serde_json::to_string(&value).expect("the data is JSON"), paths(&errors))
}

/// Executes a document with juniper's asynchronous executor.
fn execute_async(root: Node, document: &str) -> (String, Vec<Json>) {
    let (schema, variables) = (schema(root), juniper::Variables::new());
    let response = juniper::execute(document, None, &schema, &variables, &()).now_or_never();
    let (value, errors) = response.expect("no resolver waits").expect("the document is valid");
    (serde_json::to_string(&value).expect("the data is JSON"), paths(&errors))
}

#[test]
fn error_paths_contain_list_indices() {
    let inner = Node { fails: false, items: vec![leaf(true), leaf(false), leaf(true)] };
    let root = Node { fails: false, items: vec![leaf(false), inner] };
    let document = "{ _0: items { items { nothing lax } } maybe { x: items { lax } } }";
    let expected = [
        json!(["_0", 1, "items", 0, "lax"]),
        json!(["_0", 1, "items", 2, "lax"]),
        json!(["maybe", 1, "x", 0, "lax"]),
        json!(["maybe", 1, "x", 2, "lax"]),
    ];
    for (data, errors) in [execute(root.clone(), document), execute_async(root.clone(), document)] {
        assert_eq!(errors, expected, "{data}");
        let data: Json = serde_json::from_str(&data).expect("the data is JSON");
        for path in errors {
            let pointer: String = path.as_array().into_iter().flatten().map(pointer_step).collect();
            assert_eq!(data.pointer(&pointer), Some(&Json::Null), "{pointer} in {data}");
        }
    }
}

/// One element of an error path, as a step of a JSON pointer.
fn pointer_step(step: &Json) -> String {
    format!("/{}", step.as_str().map_or_else(|| step.to_string(), str::to_owned))
}

#[test]
fn indices_above_the_page_size_are_reported() {
    let items = (0..=250).map(|index| leaf(index == 99 || index == 100 || index == 250)).collect();
    let (_, errors) = execute(Node { fails: false, items }, "{ items { ...f } } fragment f on Node { lax }");
    assert_eq!(errors, [json!(["items", 100, "lax"]), json!(["items", 250, "lax"]), json!(["items", 99, "lax"])]);
}

#[test]
fn failed_required_item_makes_list_null_and_causes_one_error() {
    let root = Node { fails: false, items: vec![leaf(false), leaf(true), leaf(true)] };
    let (data, errors) = execute(root.clone(), "{ lax maybe { strict } }");
    assert_eq!((data.as_str(), errors), (r#"{"lax":1,"maybe":null}"#, vec![json!(["maybe", 1, "strict"])]));
    let (data, errors) = execute(root, "{ lax items { strict } }");
    assert_eq!((data.as_str(), errors), ("null", vec![json!(["items", 1, "strict"])]));
}

/// A field of a random selection set.
#[derive(Debug, Clone)]
enum Field {
    Lax,
    Nothing,
    Strict,
    Items(Vec<Self>),
    Maybe(Vec<Self>),
}

/// The text of a selection set. The alias of a field is `_` and its index.
fn selection_text(fields: &[Field]) -> String {
    let field = |(index, field): (usize, &Field)| match field {
        Field::Lax => format!("_{index}: lax"),
        Field::Nothing => format!("_{index}: nothing"),
        Field::Strict => format!("_{index}: strict"),
        Field::Items(inner) => format!("_{index}: items {}", selection_text(inner)),
        Field::Maybe(inner) => format!("_{index}: maybe {}", selection_text(inner)),
    };
    // Every second field is in an inline fragment.
    let placed = |(index, text): (usize, String)| if index % 2 == 1 { format!("... {{ {text} }}") } else { text };
    let fields: Vec<String> = fields.iter().enumerate().map(field).enumerate().map(placed).collect();
    format!("{{ {} }}", fields.join(" "))
}

/// The reference model. Its functions return the JSON text of a value, or `None` for a `null` that propagates to the
/// parent.
#[derive(Default)]
struct Reference {
    path: Vec<Json>,
    errors: Vec<Json>,
}

impl Reference {
    fn object(&mut self, node: &Node, fields: &[Field]) -> Option<String> {
        let mut parts = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            self.path.push(json!(format!("_{index}")));
            let value = self.field(node, field);
            self.path.pop();
            parts.push(format!("\"_{index}\":{}", value?));
        }
        Some(format!("{{{}}}", parts.join(",")))
    }

    fn field(&mut self, node: &Node, field: &Field) -> Option<String> {
        let null = || Some("null".to_owned());
        if node.fails && matches!(field, Field::Lax | Field::Strict) {
            self.errors.push(Json::Array(self.path.clone()));
        }
        match field {
            Field::Nothing => null(),
            Field::Lax if node.fails => null(),
            Field::Strict if node.fails => None,
            Field::Lax => Some("1".into()),
            Field::Strict => Some("2".into()),
            Field::Items(inner) => self.list(node, inner),
            Field::Maybe(inner) => self.list(node, inner).or_else(null),
        }
    }

    fn list(&mut self, node: &Node, fields: &[Field]) -> Option<String> {
        let mut parts = Vec::new();
        for (index, item) in node.items.iter().enumerate() {
            self.path.push(json!(index));
            let value = self.object(item, fields);
            self.path.pop();
            parts.push(value?);
        }
        Some(format!("[{}]", parts.join(",")))
    }
}

fn nodes() -> impl Strategy<Value = Node> {
    any::<bool>().prop_map(leaf).prop_recursive(4, 40, 4, |node| {
        (proptest::bool::weighted(0.2), prop::collection::vec(node, 0..4))
            .prop_map(|(fails, items)| Node { fails, items })
    })
}

fn selections() -> impl Strategy<Value = Vec<Field>> {
    let field = prop_oneof![3 => Just(Field::Lax), 1 => Just(Field::Nothing), 1 => Just(Field::Strict)];
    let field = field.prop_recursive(4, 20, 3, |field| {
        let inner = prop::collection::vec(field, 1..4);
        prop_oneof![inner.clone().prop_map(Field::Items), inner.prop_map(Field::Maybe)]
    });
    prop::collection::vec(field, 1..5)
}

proptest! {
    #[test]
    fn nulls_keys_and_paths_match_the_specification(root in nodes(), fields in selections()) {
        let mut reference = Reference::default();
        let data = reference.object(&root, &fields).unwrap_or_else(|| "null".into());
        let document = selection_text(&fields);
        let (found, errors) = execute(root.clone(), &document);
        prop_assert_eq!(&found, &data, "{}", document);
        prop_assert_eq!(errors, sorted(reference.errors.clone()), "{}", document);
        // The asynchronous executor may already have resolved siblings of a failed field, which adds their errors.
        let (found, errors) = execute_async(root, &document);
        prop_assert_eq!(&found, &data, "{}", document);
        for path in &reference.errors {
            prop_assert!(errors.contains(path), "{} in {:?} for {}", path, errors, document);
        }
    }
}

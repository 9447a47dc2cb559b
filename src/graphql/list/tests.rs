//! A small schema that fails where it is told to, against a reference of what the specification says.

use futures_util::FutureExt as _;
use juniper::{EmptyMutation, EmptySubscription, RootNode, graphql_object};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::List;
use crate::graphql::errors::of_execution;
use crate::graphql::scalar::Scalar;

type Schema = RootNode<Node, EmptyMutation, EmptySubscription, Scalar>;

/// An object with lists of objects.
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

/// The paths of errors, in an order of their own: juniper sorts them by their places in the document.
fn paths(errors: &[juniper::ExecutionError<Scalar>]) -> Vec<Json> {
    let Json::Array(errors) = of_execution(errors) else { return Vec::new() };
    sorted(errors.into_iter().map(|mut error| error["path"].take()).collect())
}

fn sorted(mut paths: Vec<Json>) -> Vec<Json> {
    paths.sort_by_key(Json::to_string);
    paths
}

/// The data as text, and the paths of the errors.
fn answer(root: Node, document: &str) -> (String, Vec<Json>) {
    let answer = juniper::execute_sync(document, None, &schema(root), &juniper::Variables::new(), &());
    let (value, errors) = answer.expect("a valid document");
    (serde_json::to_string(&value).expect("JSON"), paths(&errors))
}

/// The same in the way that items of subscriptions are resolved.
fn answer_async(root: Node, document: &str) -> (String, Vec<Json>) {
    let (schema, variables) = (schema(root), juniper::Variables::new());
    let answer = juniper::execute(document, None, &schema, &variables, &()).now_or_never();
    let (value, errors) = answer.expect("no waiting").expect("a valid document");
    (serde_json::to_string(&value).expect("JSON"), paths(&errors))
}

#[test]
fn each_error_has_the_indices_of_its_items() {
    let inner = Node { fails: false, items: vec![leaf(true), leaf(false), leaf(true)] };
    let root = Node { fails: false, items: vec![leaf(false), inner] };
    let document = "{ _0: items { items { nothing lax } } maybe { x: items { lax } } }";
    let expected = [
        json!(["_0", 1, "items", 0, "lax"]),
        json!(["_0", 1, "items", 2, "lax"]),
        json!(["maybe", 1, "x", 0, "lax"]),
        json!(["maybe", 1, "x", 2, "lax"]),
    ];
    for (data, errors) in [answer(root.clone(), document), answer_async(root.clone(), document)] {
        assert_eq!(errors, expected, "{data}");
        let data: Json = serde_json::from_str(&data).expect("JSON");
        for path in errors {
            let pointer: String = path.as_array().into_iter().flatten().map(step).collect();
            assert_eq!(data.pointer(&pointer), Some(&Json::Null), "{pointer} in {data}");
        }
    }
}

fn step(step: &Json) -> String {
    format!("/{}", step.as_str().map_or_else(|| step.to_string(), str::to_owned))
}

#[test]
fn a_list_longer_than_a_page_has_its_indices_too() {
    let items = (0..=250).map(|index| leaf(index == 99 || index == 100 || index == 250)).collect();
    let (_, errors) = answer(Node { fails: false, items }, "{ items { ...f } } fragment f on Node { lax }");
    assert_eq!(errors, [json!(["items", 100, "lax"]), json!(["items", 250, "lax"]), json!(["items", 99, "lax"])]);
}

#[test]
fn a_null_item_makes_the_list_null_and_is_named_once() {
    let root = Node { fails: false, items: vec![leaf(false), leaf(true), leaf(true)] };
    let (data, errors) = answer(root.clone(), "{ lax maybe { strict } }");
    assert_eq!((data.as_str(), errors), (r#"{"lax":1,"maybe":null}"#, vec![json!(["maybe", 1, "strict"])]));
    let (data, errors) = answer(root, "{ lax items { strict } }");
    assert_eq!((data.as_str(), errors), ("null", vec![json!(["items", 1, "strict"])]));
}

#[derive(Debug, Clone)]
enum Field {
    Lax,
    Nothing,
    Strict,
    Items(Vec<Self>),
    Maybe(Vec<Self>),
}

/// A selection set. Its aliases are numbers, as far as names can be.
fn written(fields: &[Field]) -> String {
    let field = |(index, field): (usize, &Field)| match field {
        Field::Lax => format!("_{index}: lax"),
        Field::Nothing => format!("_{index}: nothing"),
        Field::Strict => format!("_{index}: strict"),
        Field::Items(inner) => format!("_{index}: items {}", written(inner)),
        Field::Maybe(inner) => format!("_{index}: maybe {}", written(inner)),
    };
    // Every other field comes in a fragment of its own.
    let placed = |(index, text): (usize, String)| if index % 2 == 1 { format!("... {{ {text} }}") } else { text };
    let fields: Vec<String> = fields.iter().enumerate().map(field).enumerate().map(placed).collect();
    format!("{{ {} }}", fields.join(" "))
}

/// What the specification makes of it: `None` for a `null` that goes on to the parent.
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
    fn nulls_keys_and_paths_are_those_of_the_specification(root in nodes(), fields in selections()) {
        let mut reference = Reference::default();
        let data = reference.object(&root, &fields).unwrap_or_else(|| "null".into());
        let document = written(&fields);
        let (found, errors) = answer(root.clone(), &document);
        prop_assert_eq!(&found, &data, "{}", document);
        prop_assert_eq!(errors, sorted(reference.errors.clone()), "{}", document);
        // Here, siblings of what failed may have begun before: their errors are there, too.
        let (found, errors) = answer_async(root, &document);
        prop_assert_eq!(&found, &data, "{}", document);
        for path in &reference.errors {
            prop_assert!(errors.contains(path), "{} in {:?} for {}", path, errors, document);
        }
    }
}

//! Reads the variables of a request by the types that the operation declares for them. juniper itself reads variables
//! without types. It would turn a large whole number into a float, although an `ID` or a `JSON` can hold the number.

use std::fmt;

use juniper::{InputValue, Type, meta::MetaType};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::scalar::Scalar;
use super::{Schema, Variables};
use crate::model::JsonText;

/// Maximum depth of nested input types that are considered. Deeper values are read without their types.
const MAX_DEPTH: usize = 8;
/// Maximum number of fields in an input object. Each field is compared with all others. No type has so many fields.
const MAX_FIELDS: usize = 200;

/// How a JSON value is read, depending on its GraphQL type.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// The value is read as JSON without its GraphQL type.
    Plain,
    /// An `Int`. It may be written as a float without a fraction, such as `1.0`.
    Int,
    /// A `Float`. It may be written as a whole number of any size.
    Float,
    /// An `ID`. A whole number becomes its decimal text.
    Id,
    /// A `JSON` value. Its text does not change.
    Json,
    /// A list of values, or a single value that stands for a list of one.
    List(Box<Self>),
    /// An input object. Fields that are not in the list are read as [`Shape::Plain`].
    Object(Vec<(String, Self)>),
}

impl Shape {
    /// The shape of the type with this innermost name and this number of lists around it.
    #[must_use]
    pub fn of(schema: &Schema, name: &str, lists: usize) -> Self {
        let innermost = Self::named(schema, name, MAX_DEPTH);
        (0..lists).fold(innermost, |item, _| Self::List(Box::new(item)))
    }

    fn named(schema: &Schema, name: &str, depth: usize) -> Self {
        match (name, schema.schema.concrete_type_by_name(name)) {
            ("Int", _) => Self::Int,
            ("Float", _) => Self::Float,
            ("ID", _) => Self::Id,
            ("JSON", _) => Self::Json,
            (_, Some(MetaType::InputObject(object))) if depth > 0 => {
                let fields = object.input_fields.iter().map(|field| {
                    let innermost = Self::named(schema, field.arg_type.innermost_name(), depth - 1);
                    let shape = (0..list_depth(&field.arg_type)).fold(innermost, |item, _| Self::List(Box::new(item)));
                    (field.name.to_string(), shape)
                });
                Self::Object(fields.filter(|(_, shape)| *shape != Self::Plain).collect())
            }
            _ => Self::Plain,
        }
    }

    fn field(&self, name: &str) -> &Self {
        match self {
            Self::Object(fields) => {
                fields.iter().find(|(field, _)| field == name).map_or(&Self::Plain, |(_, shape)| shape)
            }
            _ => &Self::Plain,
        }
    }

    /// The shape of the items of a list. Validation refuses a list if the type is no list.
    fn item(&self) -> &Self {
        match self {
            Self::List(item) => item,
            shape => shape,
        }
    }

    /// The shape inside all lists.
    fn innermost(&self) -> &Self {
        match self {
            Self::List(item) => item.innermost(),
            shape => shape,
        }
    }
}

/// The number of lists around the innermost type: 1 for `[ID!]`.
#[must_use]
pub fn list_depth<N: AsRef<str>, M>(of: &Type<N, M>) -> usize
where
    Type<N, M>: fmt::Display,
{
    of.to_string().bytes().take_while(|byte| *byte == b'[').count()
}

/// Reads the variables of an operation from a JSON object. Variables that the operation does not declare are ignored.
///
/// # Errors
/// A message for the client, if the text is not a JSON object or contains a value that cannot be read.
pub fn read(shapes: &[(String, Shape)], json: Option<&RawValue>) -> Result<Variables, String> {
    let Some(json) = json else { return Ok(Variables::default()) };
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    let variables = deserializer.deserialize_map(VariablesVisitor(shapes));
    variables.map_err(|error| format!("the variables cannot be read: {error}"))
}

struct VariablesVisitor<'s>(&'s [(String, Shape)]);

impl<'de> Visitor<'de> for VariablesVisitor<'_> {
    type Value = Variables;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Variables, A::Error> {
        let mut variables = Variables::default();
        while let Some(name) = map.next_key::<String>()? {
            match self.0.iter().find(|(declared, _)| *declared == name) {
                Some((_, shape)) => drop(variables.insert(name, map.next_value_seed(shape)?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(variables)
    }
}

impl<'de> DeserializeSeed<'de> for &Shape {
    type Value = InputValue<Scalar>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.innermost() {
            Shape::Json | Shape::Id => {
                let raw: &RawValue = de::Deserialize::deserialize(deserializer)?;
                self.read_raw(raw).map_err(de::Error::custom)
            }
            _ => deserializer.deserialize_any(ValueVisitor(self)),
        }
    }
}

impl Shape {
    /// Reads a `JSON` or an `ID`, or a list of them, from JSON text.
    fn read_raw(&self, raw: &RawValue) -> Result<InputValue<Scalar>, String> {
        let text = raw.get();
        match self {
            _ if text == "null" => Ok(InputValue::Null),
            Self::List(item) if text.starts_with('[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| error.to_string())?;
                let items = items.into_iter().map(|raw| item.read_raw(raw)).collect::<Result<_, _>>()?;
                Ok(InputValue::list(items))
            }
            Self::List(item) => item.read_raw(raw),
            Self::Json => JsonText::parse(text).map(|json| InputValue::Scalar(Scalar::Json(json))),
            _ => Ok(read_id(text)?),
        }
    }
}

/// Reads an id: a string, or a whole number of any size. A float without a fraction is a whole number, too.
fn read_id(text: &str) -> Result<InputValue<Scalar>, String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(InputValue::scalar(text));
    }
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(match value {
        serde_json::Value::String(text) => InputValue::scalar(text),
        serde_json::Value::Bool(is_true) => InputValue::scalar(is_true),
        serde_json::Value::Number(number) => match number.as_f64().and_then(whole) {
            Some(number) => InputValue::scalar(number.to_string()),
            None => InputValue::scalar(number.as_f64().unwrap_or(f64::NAN)),
        },
        // Not an id. juniper refuses the value later.
        other => InputValue::Scalar(Scalar::Json(JsonText::from(&other))),
    })
}

/// The whole number that a float represents; `None` if the float has a fraction, or is above 2^53, where floats no
/// longer represent every whole number.
fn whole(number: f64) -> Option<i64> {
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= MAX_EXACT).then_some(number as i64)
}

struct ValueVisitor<'s>(&'s Shape);

impl<'de> Visitor<'de> for ValueVisitor<'_> {
    type Value = InputValue<Scalar>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(InputValue::Null)
    }

    fn visit_bool<E: de::Error>(self, is_true: bool) -> Result<Self::Value, E> {
        Ok(InputValue::scalar(is_true))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(InputValue::Scalar(match self.0.innermost() {
            Shape::Float => Scalar::Float(number as f64),
            _ => Scalar::from_integer(number),
        }))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) if *self.0.innermost() == Shape::Float => Ok(InputValue::scalar(number as f64)),
            Err(_) => Ok(InputValue::Scalar(Scalar::Json(JsonText::from(&number.into())))),
        }
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(InputValue::Scalar(match (self.0.innermost(), whole(number)) {
            (Shape::Int, Some(number)) => Scalar::from_integer(number),
            _ => Scalar::Float(number),
        }))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(InputValue::scalar(text))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(InputValue::scalar(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.0.item())? {
            list.push(item);
        }
        Ok(InputValue::list(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let shape = self.0.innermost();
        let mut fields = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(shape.field(&name))?;
            if fields.len() >= MAX_FIELDS {
                return Err(de::Error::custom(format_args!("an object has more than {MAX_FIELDS} fields")));
            }
            // The last one of several fields with the same name counts, as in `JSON.parse` of JavaScript.
            fields.retain(|(other, _): &(juniper::Spanning<String>, _)| other.item != name);
            fields.push((juniper::Spanning::unlocated(name), juniper::Spanning::unlocated(value)));
        }
        Ok(InputValue::parsed_object(fields))
    }
}

//! Variables, read by the types that the operation gives them: juniper's own way knows no types yet, so a large whole
//! number would become a float before an `ID` or a `JSON` could take it.

use std::fmt;

use juniper::{InputValue, Type, meta::MetaType};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::scalar::Scalar;
use super::{Schema, Variables};
use crate::model::JsonText;

/// How deep input types are followed; deeper values are read without their types.
const DEPTH: usize = 8;
/// How many fields an input object may have: each is compared with all others. No type has as many.
const MAX_FIELDS: usize = 200;

/// What is to be kept of a value when it is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// What it is says enough.
    Plain,
    /// A whole number may be written as a float: `1.0`.
    Int,
    /// A whole number may be of any size.
    Float,
    /// A whole number becomes text.
    Id,
    /// The text stays as it is.
    Json,
    /// A list, or one item of it.
    List(Box<Self>),
    /// An input object; fields that are not named are plain.
    Object(Vec<(String, Self)>),
}

impl Shape {
    /// Of values of a type.
    #[must_use]
    pub fn of(schema: &Schema, name: &str, lists: usize) -> Self {
        let innermost = Self::named(schema, name, DEPTH);
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
                    let shape = (0..lists(&field.arg_type)).fold(innermost, |item, _| Self::List(Box::new(item)));
                    (field.name.to_string(), shape)
                });
                Self::Object(fields.filter(|(_, shape)| *shape != Self::Plain).collect())
            }
            _ => Self::Plain,
        }
    }

    fn of_field(&self, name: &str) -> &Self {
        match self {
            Self::Object(fields) => {
                fields.iter().find(|(field, _)| field == name).map_or(&Self::Plain, |(_, shape)| shape)
            }
            _ => &Self::Plain,
        }
    }

    /// Of the items of a list; of a list where none is expected, the validation complains.
    fn of_item(&self) -> &Self {
        match self {
            Self::List(item) => item,
            shape => shape,
        }
    }

    fn innermost(&self) -> &Self {
        match self {
            Self::List(item) => item.innermost(),
            shape => shape,
        }
    }
}

/// How many lists a type is in.
#[must_use]
pub fn lists<N: AsRef<str>, M>(of: &Type<N, M>) -> usize
where
    Type<N, M>: fmt::Display,
{
    of.to_string().bytes().take_while(|byte| *byte == b'[').count()
}

/// Reads the variables of an operation from a JSON object. Variables that it does not define are left out.
///
/// # Errors
/// What is wrong with the JSON.
pub fn read(shapes: &[(String, Shape)], json: Option<&RawValue>) -> Result<Variables, String> {
    let Some(json) = json else { return Ok(Variables::default()) };
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    let variables = deserializer.deserialize_map(OfAll(shapes));
    variables.map_err(|error| format!("the variables cannot be read: {error}"))
}

struct OfAll<'s>(&'s [(String, Shape)]);

impl<'de> Visitor<'de> for OfAll<'_> {
    type Value = Variables;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Variables, A::Error> {
        let mut variables = Variables::default();
        while let Some(name) = map.next_key::<String>()? {
            match self.0.iter().find(|(known, _)| *known == name) {
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
                self.of_raw(raw).map_err(de::Error::custom)
            }
            _ => deserializer.deserialize_any(OfValue(self)),
        }
    }
}

impl Shape {
    /// A value of which the text counts.
    fn of_raw(&self, raw: &RawValue) -> Result<InputValue<Scalar>, String> {
        let text = raw.get();
        match self {
            _ if text == "null" => Ok(InputValue::Null),
            Self::List(item) if text.starts_with('[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| error.to_string())?;
                let items = items.into_iter().map(|one| item.of_raw(one)).collect::<Result<_, _>>()?;
                Ok(InputValue::list(items))
            }
            Self::List(item) => item.of_raw(raw),
            Self::Json => JsonText::parse(text).map(|json| InputValue::Scalar(Scalar::Json(json))),
            _ => Ok(id(text)?),
        }
    }
}

/// An id: a string, or a whole number of any size, also written as a float.
fn id(text: &str) -> Result<InputValue<Scalar>, String> {
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
        // No id: the validation says so.
        other => InputValue::Scalar(Scalar::Json(JsonText::from(&other))),
    })
}

/// The whole number that a float is, as far as floats can tell whole numbers apart.
fn whole(number: f64) -> Option<i64> {
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= LARGEST).then_some(number as i64)
}

struct OfValue<'s>(&'s Shape);

impl<'de> Visitor<'de> for OfValue<'_> {
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
            _ => Scalar::of_number(number),
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
            (Shape::Int, Some(number)) => Scalar::of_number(number),
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
        while let Some(item) = items.next_element_seed(self.0.of_item())? {
            list.push(item);
        }
        Ok(InputValue::list(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let shape = self.0.innermost();
        let mut fields = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(shape.of_field(&name))?;
            if fields.len() >= MAX_FIELDS {
                return Err(de::Error::custom(format_args!("an object has more than {MAX_FIELDS} fields")));
            }
            // As JSON.parse has it: of a key that is there twice, the last one counts.
            fields.retain(|(known, _): &(juniper::Spanning<String>, _)| known.item != name);
            fields.push((juniper::Spanning::unlocated(name), juniper::Spanning::unlocated(value)));
        }
        Ok(InputValue::parsed_object(fields))
    }
}

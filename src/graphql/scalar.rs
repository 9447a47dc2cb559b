//! The scalar value type of the schema. juniper's own type cannot hold whole numbers above 32 bits or JSON.

use std::fmt;

use juniper::ScalarValue;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::model::JsonText;

/// A scalar value in a document, in a variable or in a response.
#[derive(Debug, Clone, PartialEq, ScalarValue)]
pub enum Scalar {
    /// A whole number of 32 bits.
    #[value(to_float, to_int)]
    Int(i32),
    /// A floating point number.
    #[value(to_float)]
    Float(f64),
    /// A text. Ids, times and cursors are texts, too.
    #[value(as_str, to_string)]
    String(String),
    /// `true` or `false`.
    #[value(to_bool)]
    Boolean(bool),
    /// A value of the scalar `JSON`, or a whole number above 32 bits whose type does not allow such a number.
    Json(JsonText),
}

impl Scalar {
    /// Converts a whole number: to `Int` if it fits into 32 bits, otherwise to `Json`.
    #[must_use]
    pub fn from_integer(number: i64) -> Self {
        i32::try_from(number).map_or_else(|_| Self::Json(JsonText::from(&number.into())), Self::Int)
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::String(text) => text.fmt(f),
            Self::Boolean(is_true) => is_true.fmt(f),
            Self::Json(json) => json.fmt(f),
        }
    }
}

impl From<i32> for Scalar {
    fn from(number: i32) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Scalar {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<bool> for Scalar {
    fn from(is_true: bool) -> Self {
        Self::Boolean(is_true)
    }
}

impl From<String> for Scalar {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl TryFrom<Scalar> for String {
    type Error = Scalar;

    fn try_from(scalar: Scalar) -> Result<Self, Scalar> {
        match scalar {
            Scalar::String(text) => Ok(text),
            other => Err(other),
        }
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(number) => serializer.serialize_i32(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::String(text) => serializer.serialize_str(text),
            Self::Boolean(is_true) => serializer.serialize_bool(*is_true),
            Self::Json(json) => json.serialize(serializer),
        }
    }
}

/// juniper requires this implementation. Variables are read elsewhere, by their types: see [`super::variables`].
impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;

        impl Visitor<'_> for ScalarVisitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a scalar value")
            }

            fn visit_bool<E: de::Error>(self, is_true: bool) -> Result<Scalar, E> {
                Ok(Scalar::Boolean(is_true))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar::from_integer(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(i64::try_from(number)
                    .map_or_else(|_| Scalar::Json(JsonText::from(&number.into())), Scalar::from_integer))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar::Float(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::String(text.to_owned()))
            }
        }

        deserializer.deserialize_any(ScalarVisitor)
    }
}

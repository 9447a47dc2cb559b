//! What a scalar of the schema is in memory. juniper's own type has no whole numbers above 32 bits and no JSON.

use std::fmt;

use juniper::ScalarValue;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::model::JsonText;

/// A scalar value.
#[derive(Debug, Clone, PartialEq, ScalarValue)]
pub enum Scalar {
    /// A whole number of 32 bits.
    #[value(to_float, to_int)]
    Int(i32),
    /// A floating point number.
    #[value(to_float)]
    Float(f64),
    /// A text, also an id, a time or a cursor.
    #[value(as_str, to_string)]
    String(String),
    /// `true` or `false`.
    #[value(to_bool)]
    Boolean(bool),
    /// A value of the scalar `JSON`, or a whole number above 32 bits where no such number is allowed.
    Json(JsonText),
}

impl Scalar {
    /// A whole number: an `Int` if it has 32 bits.
    #[must_use]
    pub fn of_number(number: i64) -> Self {
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

/// juniper asks for this; variables are read by their types, see [`super::variables`].
impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfScalar;

        impl Visitor<'_> for OfScalar {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a scalar value")
            }

            fn visit_bool<E: de::Error>(self, is_true: bool) -> Result<Scalar, E> {
                Ok(Scalar::Boolean(is_true))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar::of_number(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(i64::try_from(number)
                    .map_or_else(|_| Scalar::Json(JsonText::from(&number.into())), Scalar::of_number))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar::Float(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::String(text.to_owned()))
            }
        }

        deserializer.deserialize_any(OfScalar)
    }
}

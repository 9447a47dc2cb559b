//! The scalar `JSON`, which accepts any value, also objects and lists. juniper's scalars accept no objects and lists.
//!
//! `variables.rs` keeps a variable of this type as text. `literals.rs` replaces an object or a list in a document by a
//! string that begins with [`LITERAL_MARK`], before juniper parses the document.

use juniper::macros::reflect;
use juniper::meta::MetaType;
use juniper::parser::ScalarToken;
use juniper::{
    ArcStr, BoxFuture, ExecutionResult, Executor, FromInputValue, GraphQLType, GraphQLValue, GraphQLValueAsync,
    InputValue, ParseScalarResult, ParseScalarValue, Registry, Selection, ToInputValue, Value, arcstr, marker,
};

use super::scalar::Scalar;
use crate::model::JsonText;

/// The first character of a string that stands for a JSON literal. Unicode reserves it as a noncharacter, so texts do
/// not contain it. A client that sends it gains nothing: it could send the literal instead.
pub const LITERAL_MARK: char = '\u{fdd0}';

/// Any JSON value, kept as text.
#[derive(Debug, Clone, PartialEq)]
pub struct Json(pub JsonText);

const DESCRIPTION: &str = "Any JSON value, as a variable or as a literal in the document. The server does not change \
numbers of any size or the order of keys.";

impl GraphQLType<Scalar> for Json {
    fn name((): &()) -> Option<ArcStr> {
        Some(arcstr::literal!("JSON"))
    }

    fn meta((): &(), registry: &mut Registry<Scalar>) -> MetaType<Scalar> {
        registry
            .build_scalar_type::<Self>(&())
            .description(DESCRIPTION)
            .specified_by_url("https://www.rfc-editor.org/rfc/rfc8259")
            .into_meta()
    }
}

impl GraphQLValue<Scalar> for Json {
    type Context = ();
    type TypeInfo = ();

    fn type_name(&self, info: &()) -> Option<ArcStr> {
        <Self as GraphQLType<Scalar>>::name(info)
    }

    fn resolve(
        &self,
        (): &(),
        _: Option<&[Selection<'_, Scalar>]>,
        _: &Executor<'_, '_, (), Scalar>,
    ) -> ExecutionResult<Scalar> {
        Ok(Value::Scalar(Scalar::Json(self.0.clone())))
    }
}

impl GraphQLValueAsync<Scalar> for Json {
    fn resolve_async<'a>(
        &'a self,
        info: &'a (),
        selection: Option<&'a [Selection<'_, Scalar>]>,
        executor: &'a Executor<'_, '_, (), Scalar>,
    ) -> BoxFuture<'a, ExecutionResult<Scalar>> {
        Box::pin(std::future::ready(self.resolve(info, selection, executor)))
    }
}

impl FromInputValue<Scalar> for Json {
    type Error = String;

    fn from_input_value(value: &InputValue<Scalar>) -> Result<Self, String> {
        match value {
            InputValue::Scalar(Scalar::Json(json)) => Ok(Self(json.clone())),
            value => JsonText::parse(&json_text(value)?).map(Self),
        }
    }
}

impl ToInputValue<Scalar> for Json {
    fn to_input_value(&self) -> InputValue<Scalar> {
        InputValue::Scalar(Scalar::Json(self.0.clone()))
    }
}

impl ParseScalarValue<Scalar> for Json {
    fn from_str(token: ScalarToken<'_>) -> ParseScalarResult<Scalar> {
        Ok(Scalar::Json(match token {
            ScalarToken::String(literal) => {
                let text = literal.parse()?;
                let marked = text.strip_prefix(LITERAL_MARK).and_then(|json| JsonText::parse(json).ok());
                marked.unwrap_or_else(|| JsonText::from(&text.as_ref().into()))
            }
            ScalarToken::Int(text) | ScalarToken::Float(text) => match JsonText::parse(text) {
                Ok(number) => number,
                // The number is outside the range of floats. As a string, it does not pass validation.
                Err(_) => return <String as ParseScalarValue<Scalar>>::from_str(token),
            },
        }))
    }
}

impl marker::IsInputType<Scalar> for Json {}
impl marker::IsOutputType<Scalar> for Json {}

impl reflect::WrappedType<Scalar> for Json {
    const VALUE: reflect::WrappedValue = 1;
}

impl reflect::BaseType<Scalar> for Json {
    const NAME: reflect::Type = "JSON";
}

impl reflect::BaseSubTypes<Scalar> for Json {
    const NAMES: reflect::Types = &["JSON"];
}

/// Writes an input value as JSON text.
fn json_text(value: &InputValue<Scalar>) -> Result<String, String> {
    let joined = |items: Vec<String>| items.join(",");
    Ok(match value {
        InputValue::Null => "null".into(),
        InputValue::Scalar(scalar) => serde_json::to_string(scalar).map_err(|error| error.to_string())?,
        InputValue::Enum(name) => return Err(format!("{name} is not a JSON value")),
        InputValue::Variable(name) => return Err(format!("${name} cannot be inside of a JSON value")),
        InputValue::List(items) => {
            format!("[{}]", joined(items.iter().map(|item| json_text(&item.item)).collect::<Result<_, _>>()?))
        }
        InputValue::Object(fields) => {
            let field = |name: &str, value: &InputValue<Scalar>| {
                Ok(format!("{}:{}", serde_json::Value::from(name), json_text(value)?))
            };
            let fields = fields.iter().map(|(name, value)| field(&name.item, &value.item));
            format!("{{{}}}", joined(fields.collect::<Result<_, String>>()?))
        }
    })
}

//! The scalar `JSON`: any value, also objects and lists, which juniper's own scalars cannot be. On the
//! way in, juniper refuses whatever is no scalar: so objects in variables are folded into text before
//! juniper looks at them, and unfolded by whoever is given one.

use juniper::macros::reflect;
use juniper::meta::MetaType;
use juniper::parser::{ParseError, ScalarToken, Token};
use juniper::{
    ArcStr, BoxFuture, ExecutionResult, Executor, FromInputValue, GraphQLType, GraphQLValue, GraphQLValueAsync,
    InputValue, ParseScalarResult, ParseScalarValue, Registry, ScalarValue, Selection, ToInputValue, Value, Variables,
    arcstr, marker,
};
use serde_json::Value as Any;

/// Any JSON value.
#[derive(Debug, Clone, PartialEq)]
pub struct Json(pub Any);

impl<S: ScalarValue> GraphQLType<S> for Json {
    fn name((): &()) -> Option<ArcStr> {
        Some(arcstr::literal!("JSON"))
    }

    fn meta((): &(), registry: &mut Registry<S>) -> MetaType<S> {
        registry.build_scalar_type::<Self>(&()).description("Any JSON value.").into_meta()
    }
}

impl<S: ScalarValue> GraphQLValue<S> for Json {
    type Context = ();
    type TypeInfo = ();

    fn type_name(&self, info: &()) -> Option<ArcStr> {
        <Self as GraphQLType<S>>::name(info)
    }

    fn resolve(&self, (): &(), _: Option<&[Selection<'_, S>]>, _: &Executor<'_, '_, (), S>) -> ExecutionResult<S> {
        Ok(output(&self.0))
    }
}

impl<S: ScalarValue + Send + Sync> GraphQLValueAsync<S> for Json {
    fn resolve_async<'a>(
        &'a self,
        info: &'a (),
        selection: Option<&'a [Selection<'_, S>]>,
        executor: &'a Executor<'_, '_, (), S>,
    ) -> BoxFuture<'a, ExecutionResult<S>> {
        Box::pin(std::future::ready(self.resolve(info, selection, executor)))
    }
}

impl<S: ScalarValue> FromInputValue<S> for Json {
    type Error = String;

    fn from_input_value(value: &InputValue<S>) -> Result<Self, String> {
        input(value).map(Self)
    }
}

impl<S: ScalarValue> ToInputValue<S> for Json {
    fn to_input_value(&self) -> InputValue<S> {
        back(&self.0)
    }
}

impl<S: ScalarValue> ParseScalarValue<S> for Json {
    fn from_str(token: ScalarToken<'_>) -> ParseScalarResult<S> {
        match token {
            ScalarToken::String(_) => <String as ParseScalarValue<S>>::from_str(token),
            ScalarToken::Float(text) | ScalarToken::Int(text) => match (text.parse::<i32>(), text.parse::<f64>()) {
                (Ok(number), _) => Ok(number.into()),
                (_, Ok(number)) => Ok(number.into()),
                _ => Err(ParseError::unexpected_token(Token::Scalar(token))),
            },
        }
    }
}

impl<S: ScalarValue> marker::IsInputType<S> for Json {}
impl<S: ScalarValue> marker::IsOutputType<S> for Json {}

impl<S> reflect::WrappedType<S> for Json {
    const VALUE: reflect::WrappedValue = 1;
}

impl<S> reflect::BaseType<S> for Json {
    const NAME: reflect::Type = "JSON";
}

impl<S> reflect::BaseSubTypes<S> for Json {
    const NAMES: reflect::Types = &["JSON"];
}

impl Json {
    /// The object: as it is, or as text.
    #[must_use]
    pub fn unfolded(self) -> Any {
        match &self.0 {
            Any::String(text) => serde_json::from_str(text).unwrap_or(self.0),
            _ => self.0,
        }
    }
}

/// Folds what is of type `JSON` in variables of these names and types.
#[must_use]
pub fn folded(types: &[(String, String)], mut variables: Variables) -> Variables {
    for (name, of) in types {
        let Some(value) = variables.get_mut(name) else { continue };
        match (of.as_str(), value) {
            ("JSON", value) => fold(value),
            ("BroadcastInput", InputValue::Object(fields)) => {
                let data = fields.iter_mut().filter(|(name, _)| name.item == "data");
                data.for_each(|(_, value)| fold(&mut value.item));
            }
            _ => {}
        }
    }
    variables
}

fn fold(value: &mut InputValue) {
    if matches!(value, InputValue::Object(_) | InputValue::List(_)) {
        let text = serde_json::to_string(value).unwrap_or_default();
        *value = InputValue::scalar(text);
    }
}

fn output<S: ScalarValue>(value: &Any) -> Value<S> {
    match value {
        Any::Null => Value::Null,
        Any::Bool(bool) => Value::scalar(*bool),
        Any::Number(number) => match small(number) {
            Some(number) => Value::scalar(number),
            None => Value::scalar(number.as_f64().unwrap_or(f64::NAN)),
        },
        Any::String(text) => Value::scalar(text.clone()),
        Any::Array(items) => Value::list(items.iter().map(output).collect()),
        Any::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), output(value))).collect())
        }
    }
}

fn input<S: ScalarValue>(value: &InputValue<S>) -> Result<Any, String> {
    Ok(match value {
        InputValue::Null => Any::Null,
        InputValue::Scalar(scalar) => match (scalar.downcast_type::<i32>(), scalar.downcast_type::<f64>()) {
            (Some(number), _) => (*number).into(),
            (_, Some(number)) => (*number).into(),
            _ => scalar.downcast_type::<bool>().map_or_else(|| scalar.to_string().into(), |bool| (*bool).into()),
        },
        InputValue::Enum(name) => return Err(format!("{name} is not a JSON value")),
        InputValue::Variable(name) => return Err(format!("${name} cannot be inside of a JSON value")),
        InputValue::List(items) => Any::Array(items.iter().map(|item| input(&item.item)).collect::<Result<_, _>>()?),
        InputValue::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| Ok((name.item.clone(), input(&value.item)?)));
            Any::Object(fields.collect::<Result<_, String>>()?)
        }
    })
}

fn back<S: ScalarValue>(value: &Any) -> InputValue<S> {
    match value {
        Any::Null => InputValue::Null,
        Any::Bool(bool) => InputValue::scalar(*bool),
        Any::Number(number) => match small(number) {
            Some(number) => InputValue::scalar(number),
            None => InputValue::scalar(number.as_f64().unwrap_or(f64::NAN)),
        },
        Any::String(text) => InputValue::scalar(text.clone()),
        Any::Array(items) => InputValue::list(items.iter().map(back).collect()),
        Any::Object(fields) => {
            InputValue::object(fields.iter().map(|(name, value)| (name.clone(), back(value))).collect())
        }
    }
}

fn small(number: &serde_json::Number) -> Option<i32> {
    number.as_i64().and_then(|number| i32::try_from(number).ok())
}

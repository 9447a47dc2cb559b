//! A list type that puts list indices into the paths of errors, as the GraphQL specification requires.
//!
//! juniper's own paths contain only fields. So each item is resolved as a field whose alias is the index. `errors.rs`
//! converts these aliases to numbers. An alias of a document is never taken for an index: no name begins with a digit.

use juniper::macros::reflect::{BaseSubTypes, BaseType, Type, Types, WrappedType};
use juniper::marker::IsOutputType;
use juniper::meta::MetaType;
use juniper::{
    ArcStr, BoxFuture, ExecutionResult, Executor, GraphQLType, GraphQLValue, GraphQLValueAsync, Registry, ScalarValue,
    Selection, Value,
};

/// The name of a field that every object type has. juniper needs the name of an existing field.
const ANY_FIELD: &str = "__typename";

/// A list of objects whose errors contain the index of the item.
#[derive(Debug, Clone)]
pub struct List<T>(Vec<T>);

impl<T> List<T> {
    /// An iterator over the items.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl<S: ScalarValue, T: IsOutputType<S>> IsOutputType<S> for List<T> {
    fn mark() {
        T::mark();
    }
}

impl<S, T: BaseType<S>> BaseType<S> for List<T> {
    const NAME: Type = T::NAME;
}

impl<S, T: BaseSubTypes<S>> BaseSubTypes<S> for List<T> {
    const NAMES: Types = T::NAMES;
}

impl<S, T: WrappedType<S>> WrappedType<S> for List<T> {
    const VALUE: u128 = <Vec<T> as WrappedType<S>>::VALUE;
}

impl<S: ScalarValue, T: GraphQLType<S>> GraphQLType<S> for List<T> {
    fn name(_: &Self::TypeInfo) -> Option<ArcStr> {
        None
    }

    fn meta(info: &Self::TypeInfo, registry: &mut Registry<S>) -> MetaType<S> {
        <Vec<T> as GraphQLType<S>>::meta(info, registry)
    }
}

impl<S: ScalarValue, T: GraphQLValue<S>> GraphQLValue<S> for List<T> {
    type Context = T::Context;
    type TypeInfo = T::TypeInfo;

    fn type_name(&self, _: &Self::TypeInfo) -> Option<ArcStr> {
        None
    }

    fn resolve(
        &self,
        info: &Self::TypeInfo,
        selection: Option<&[Selection<'_, S>]>,
        executor: &Executor<'_, '_, Self::Context, S>,
    ) -> ExecutionResult<S> {
        let (item_type, is_item_required) = item_type(executor);
        let mut values = Vec::with_capacity(self.0.len());
        for (index, item) in self.0.iter().enumerate() {
            let index = index.to_string();
            let indexed = executor.field_sub_executor(&index, ANY_FIELD, *executor.location(), None);
            let value = indexed.type_sub_executor(item_type, selection).resolve_into_value(info, item);
            if is_item_required && value.is_null() {
                return Ok(value);
            }
            values.push(value);
        }
        Ok(Value::list(values))
    }
}

impl<S, T> GraphQLValueAsync<S> for List<T>
where
    S: ScalarValue + Send + Sync,
    T: GraphQLValueAsync<S> + Send + Sync,
    T::TypeInfo: Sync,
    T::Context: Sync,
{
    fn resolve_async<'a>(
        &'a self,
        info: &'a Self::TypeInfo,
        selection: Option<&'a [Selection<'_, S>]>,
        executor: &'a Executor<'_, '_, Self::Context, S>,
    ) -> BoxFuture<'a, ExecutionResult<S>> {
        Box::pin(async move {
            let (item_type, is_item_required) = item_type(executor);
            let mut values = Vec::with_capacity(self.0.len());
            for (index, item) in self.0.iter().enumerate() {
                let index = index.to_string();
                let indexed = executor.field_sub_executor(&index, ANY_FIELD, *executor.location(), None);
                let value = indexed.type_sub_executor(item_type, selection).resolve_into_value_async(info, item).await;
                if is_item_required && value.is_null() {
                    return Ok(value);
                }
                values.push(value);
            }
            Ok(Value::list(values))
        })
    }
}

/// The name of the items' type, and whether items are non-null, so that a `null` item makes the whole list `null`.
fn item_type<'e, C, S: ScalarValue>(executor: &'e Executor<'_, '_, C, S>) -> (Option<&'e str>, bool) {
    let list = executor.current_type();
    let is_item_required = list.list_contents().is_some_and(|item| item.is_non_null());
    (list.innermost_concrete().name().map(ArcStr::as_str), is_item_required)
}

#[cfg(test)]
mod tests;

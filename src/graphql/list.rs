//! Lists of objects whose errors say at which item they happened.
//!
//! The path of an error has the index of each list that it goes through. juniper names the fields alone, so each item
//! is resolved below a field whose alias is the index. No alias of a document begins with a digit: `errors` makes a
//! number of what is one.

use juniper::macros::reflect::{BaseSubTypes, BaseType, Type, Types, WrappedType};
use juniper::marker::IsOutputType;
use juniper::meta::MetaType;
use juniper::{
    ArcStr, BoxFuture, ExecutionResult, Executor, GraphQLType, GraphQLValue, GraphQLValueAsync, Registry, ScalarValue,
    Selection, Value,
};

/// A field that every object has.
const ANY_FIELD: &str = "__typename";

/// A list of objects.
#[derive(Debug, Clone)]
pub struct List<T>(Vec<T>);

impl<T> List<T> {
    /// Its items.
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
        let (of, needs_all) = items_of(executor);
        let mut values = Vec::with_capacity(self.0.len());
        for (index, item) in self.0.iter().enumerate() {
            let index = index.to_string();
            let placed = executor.field_sub_executor(&index, ANY_FIELD, *executor.location(), None);
            let value = placed.type_sub_executor(of, selection).resolve_into_value(info, item);
            if needs_all && value.is_null() {
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
            let (of, needs_all) = items_of(executor);
            let mut values = Vec::with_capacity(self.0.len());
            for (index, item) in self.0.iter().enumerate() {
                let index = index.to_string();
                let placed = executor.field_sub_executor(&index, ANY_FIELD, *executor.location(), None);
                let value = placed.type_sub_executor(of, selection).resolve_into_value_async(info, item).await;
                if needs_all && value.is_null() {
                    return Ok(value);
                }
                values.push(value);
            }
            Ok(Value::list(values))
        })
    }
}

/// The name of the items' type, and whether the list is `null` when one of them is.
fn items_of<'e, C, S: ScalarValue>(executor: &'e Executor<'_, '_, C, S>) -> (Option<&'e str>, bool) {
    let list = executor.current_type();
    let needs_all = list.list_contents().is_some_and(|item| item.is_non_null());
    (list.innermost_concrete().name().map(ArcStr::as_str), needs_all)
}

#[cfg(test)]
mod tests;

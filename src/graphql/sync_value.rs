//! A value whose fields are resolved synchronously, also by juniper's async execution.
//!
//! Only root resolvers of mutations wait for something. For all fields below them, the async execution of juniper would
//! create one boxed future for each field, and code for each object type of the schema.

use juniper::macros::reflect::{BaseSubTypes, BaseType, Type, Types, WrappedType};
use juniper::marker::IsOutputType;
use juniper::meta::MetaType;
use juniper::{
    ArcStr, Arguments, BoxFuture, ExecutionResult, Executor, GraphQLType, GraphQLValue, GraphQLValueAsync, Registry,
    ScalarValue, Selection,
};

/// A value of a GraphQL object whose fields are resolved synchronously.
#[derive(Debug, Clone, Copy)]
pub struct SyncValue<T>(pub T);

impl<S: ScalarValue, T: IsOutputType<S>> IsOutputType<S> for SyncValue<T> {
    fn mark() {
        T::mark();
    }
}

impl<S, T: BaseType<S>> BaseType<S> for SyncValue<T> {
    const NAME: Type = T::NAME;
}

impl<S, T: BaseSubTypes<S>> BaseSubTypes<S> for SyncValue<T> {
    const NAMES: Types = T::NAMES;
}

impl<S, T: WrappedType<S>> WrappedType<S> for SyncValue<T> {
    const VALUE: u128 = T::VALUE;
}

impl<S: ScalarValue, T: GraphQLType<S>> GraphQLType<S> for SyncValue<T> {
    fn name(info: &Self::TypeInfo) -> Option<ArcStr> {
        T::name(info)
    }

    fn meta(info: &Self::TypeInfo, registry: &mut Registry<S>) -> MetaType<S> {
        T::meta(info, registry)
    }
}

impl<S: ScalarValue, T: GraphQLValue<S>> GraphQLValue<S> for SyncValue<T> {
    type Context = T::Context;
    type TypeInfo = T::TypeInfo;

    fn type_name(&self, info: &Self::TypeInfo) -> Option<ArcStr> {
        self.0.type_name(info)
    }

    fn concrete_type_name(&self, context: &Self::Context, info: &Self::TypeInfo) -> String {
        self.0.concrete_type_name(context, info)
    }

    fn resolve_into_type(
        &self,
        info: &Self::TypeInfo,
        name: &str,
        selection: Option<&[Selection<'_, S>]>,
        executor: &Executor<'_, '_, Self::Context, S>,
    ) -> ExecutionResult<S> {
        self.0.resolve_into_type(info, name, selection, executor)
    }

    fn resolve_field(
        &self,
        info: &Self::TypeInfo,
        name: &str,
        arguments: &Arguments<'_, S>,
        executor: &Executor<'_, '_, Self::Context, S>,
    ) -> ExecutionResult<S> {
        self.0.resolve_field(info, name, arguments, executor)
    }

    fn resolve(
        &self,
        info: &Self::TypeInfo,
        selection: Option<&[Selection<'_, S>]>,
        executor: &Executor<'_, '_, Self::Context, S>,
    ) -> ExecutionResult<S> {
        self.0.resolve(info, selection, executor)
    }
}

impl<S, T> GraphQLValueAsync<S> for SyncValue<T>
where
    S: ScalarValue + Send + Sync,
    T: GraphQLValue<S> + Sync,
    T::TypeInfo: Sync,
    T::Context: Sync,
{
    fn resolve_async<'a>(
        &'a self,
        info: &'a Self::TypeInfo,
        selection: Option<&'a [Selection<'_, S>]>,
        executor: &'a Executor<'_, '_, Self::Context, S>,
    ) -> BoxFuture<'a, ExecutionResult<S>> {
        Box::pin(std::future::ready(self.0.resolve(info, selection, executor)))
    }
}

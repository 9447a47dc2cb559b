//! Statements of PostgreSQL whose SQL never changes, with parameters. Diesel's `sql_query` would prepare them again on
//! each use.

use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Text};

/// The SQL of a statement, and the types of the columns that it returns.
pub trait FixedSql: 'static {
    /// Each parameter (`$1`, `$2` …) is used once, in order.
    const TEXT: &'static str;
    type Columns;
}

/// A parameter.
pub enum Parameter {
    Number(i64),
    Flag(bool),
    Text(String),
    Numbers(Vec<i64>),
    Texts(Vec<String>),
}

/// A statement with its parameters.
pub struct FixedStatement<S> {
    parameters: Vec<Parameter>,
    sql: PhantomData<S>,
}

impl<S: FixedSql> FixedStatement<S> {
    pub fn new(parameters: Vec<Parameter>) -> Self {
        Self { parameters, sql: PhantomData }
    }
}

/// Diesel finds the prepared statement by this type.
impl<S: FixedSql> QueryId for FixedStatement<S> {
    type QueryId = FixedStatement<S>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<S: FixedSql> Query for FixedStatement<S> {
    type SqlType = S::Columns;
}

impl<S: FixedSql> RunQueryDsl<PgConnection> for FixedStatement<S> {}

impl<S: FixedSql> QueryFragment<Pg> for FixedStatement<S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut parts = S::TEXT.split('$');
        out.push_sql(parts.next().unwrap_or_default());
        for (parameter, part) in self.parameters.iter().zip(parts) {
            match parameter {
                Parameter::Number(value) => out.push_bind_param::<BigInt, _>(value)?,
                Parameter::Flag(value) => out.push_bind_param::<Bool, _>(value)?,
                Parameter::Text(value) => out.push_bind_param::<Text, _>(value)?,
                Parameter::Numbers(value) => out.push_bind_param::<Array<BigInt>, _>(value)?,
                Parameter::Texts(value) => out.push_bind_param::<Array<Text>, _>(value)?,
            }
            out.push_sql(part.trim_start_matches(|digit: char| digit.is_ascii_digit()));
        }
        Ok(())
    }
}

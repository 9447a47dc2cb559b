//! Statements of PostgreSQL from templates: only the parts that a batch needs are sent. A table that another program
//! has locked then delays only the batches that use it.
//!
//! A template has named parameters (`$name`) and optional parts, in lines of their own:
//!
//! ```sql
//! -- if comments
//! ), new_comments AS (...
//! -- else
//! ), new_comments AS (SELECT 0::bigint AS id WHERE FALSE
//! -- end
//! ```

use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Text};

/// The value of a parameter.
pub enum Parameter {
    Number(i64),
    Text(String),
    Numbers(Vec<i64>),
    Texts(Vec<String>),
}

/// A statement that returns columns of type `C`. Diesel finds the prepared statement by its SQL.
pub struct TemplateStatement<C> {
    /// The text before each parameter, and the parameter.
    parts: Vec<(&'static str, Option<Parameter>)>,
    columns: PhantomData<C>,
}

impl<C> TemplateStatement<C> {
    /// The statement of a template with these optional parts. `parameter` returns the value of a parameter.
    ///
    /// # Errors
    /// The first error of `parameter`.
    pub fn new<E>(
        template: &'static str,
        is_needed: impl Fn(&str) -> bool,
        mut parameter: impl FnMut(&str) -> Result<Parameter, E>,
    ) -> Result<Self, E> {
        let mut parts = Vec::new();
        let mut is_sent = true;
        for line in template.split_inclusive('\n') {
            let text = line.trim();
            if let Some(name) = text.strip_prefix("-- if ") {
                is_sent = is_needed(name);
            } else if text == "-- else" {
                is_sent = !is_sent;
            } else if text == "-- end" {
                is_sent = true;
            } else if is_sent && !text.starts_with("--") {
                add_line(line, &mut parts, &mut parameter)?;
            }
        }
        Ok(Self { parts, columns: PhantomData })
    }
}

fn add_line<E>(
    mut line: &'static str,
    parts: &mut Vec<(&'static str, Option<Parameter>)>,
    parameter: &mut impl FnMut(&str) -> Result<Parameter, E>,
) -> Result<(), E> {
    while let Some((text, rest)) = line.split_once('$') {
        let end = rest.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_').unwrap_or(rest.len());
        parts.push((text, Some(parameter(&rest[..end])?)));
        line = &rest[end..];
    }
    parts.push((line, None));
    Ok(())
}

impl<C> QueryId for TemplateStatement<C> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<C> Query for TemplateStatement<C> {
    type SqlType = C;
}

impl<C> RunQueryDsl<PgConnection> for TemplateStatement<C> {}

impl<C> QueryFragment<Pg> for TemplateStatement<C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for (text, parameter) in &self.parts {
            out.push_sql(text);
            match parameter {
                None => {}
                Some(Parameter::Number(value)) => out.push_bind_param::<BigInt, _>(value)?,
                Some(Parameter::Text(value)) => out.push_bind_param::<Text, _>(value)?,
                Some(Parameter::Numbers(value)) => out.push_bind_param::<Array<BigInt>, _>(value)?,
                Some(Parameter::Texts(value)) => out.push_bind_param::<Array<Text>, _>(value)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str =
        "SELECT 1\n-- if one\n, $first\n-- else\n, 'none'\n-- end\n-- a comment: $unknown\n, $other_name::text\n";

    /// The SQL and the names of the parameters.
    fn sql(needed: &[&str]) -> (String, Vec<String>) {
        let mut names = Vec::new();
        let statement = TemplateStatement::<BigInt>::new(
            TEMPLATE,
            |name| needed.contains(&name),
            |name| {
                names.push(name.to_owned());
                Ok::<_, std::convert::Infallible>(Parameter::Number(7))
            },
        );
        let Ok(statement) = statement;
        (diesel::debug_query::<Pg, _>(&statement).to_string(), names)
    }

    #[test]
    fn a_needed_part_is_sent_with_its_parameters() {
        let (text, names) = sql(&["one"]);
        assert_eq!(text, "SELECT 1\n, $1\n, $2::text\n -- binds: [7, 7]");
        assert_eq!(names, ["first", "other_name"]);
    }

    #[test]
    fn the_alternative_is_sent_for_a_part_that_is_not_needed() {
        let (text, names) = sql(&[]);
        assert_eq!(text, "SELECT 1\n, 'none'\n, $1::text\n -- binds: [7]");
        assert_eq!(names, ["other_name"]);
    }
}

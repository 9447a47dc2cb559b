//! The rows of one group, such as the messages of one channel, in a range of ids and in the order of their ids.
//!
//! PostgreSQL may read `channel_id = 5 AND id < 900 ORDER BY id LIMIT 20` from the primary key and skip the rows of all
//! other channels, however many there are: in a plan for any channel it expects to find 20 rows soon. Only an index that
//! begins with the group can serve `(channel_id, id) < (5, 900) AND (channel_id, id) > (5, 0) ORDER BY channel_id, id`.
//! SQLite always uses that index for the first form, and only half of it for the second.

use diesel::backend::Backend;
use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Bool, HasSqlType};
use diesel::sqlite::Sqlite;

use super::connection::{Db, MultiBackend};
use crate::model::PageRequest;

/// An open interval of ids, and the order in which they are wanted.
#[derive(Debug, Clone, Copy)]
pub struct IdRange {
    /// Only ids greater than this one belong to the range.
    pub above: i64,
    /// Only ids smaller than this one belong to the range.
    pub below: i64,
    /// Whether the range is read from its greatest id to its smallest.
    pub is_descending: bool,
}

/// A range whose bounds are SQL.
#[derive(Debug, Clone)]
pub struct SqlRange {
    /// Only ids greater than this one belong to the range.
    pub above: String,
    /// Only ids smaller than this one belong to the range.
    pub below: String,
    /// Whether the range is read from its greatest id to its smallest.
    pub is_descending: bool,
}

impl From<IdRange> for SqlRange {
    fn from(range: IdRange) -> Self {
        // SQLite cannot parse `i64::MIN` as an integer literal.
        let above = range.above.max(-1).to_string();
        Self { above, below: range.below.to_string(), is_descending: range.is_descending }
    }
}

impl IdRange {
    /// All ids, from the smallest to the greatest.
    pub const ALL: Self = Self { above: i64::MIN, below: i64::MAX, is_descending: false };

    /// The range of a window of a list that shows the newest rows first.
    pub fn newest_first(window: &PageRequest<i64>) -> Self {
        Self::new(window.before, window.after, !window.from_end)
    }

    /// The range of a window of a list that shows the oldest rows first.
    pub fn oldest_first(window: &PageRequest<i64>) -> Self {
        Self::new(window.after, window.before, window.from_end)
    }

    fn new(above: Option<i64>, below: Option<i64>, is_descending: bool) -> Self {
        Self { above: above.unwrap_or(i64::MIN), below: below.unwrap_or(i64::MAX), is_descending }
    }

    /// The part of the range that follows this id, in the range's order.
    #[must_use]
    pub fn after(self, id: i64) -> Self {
        if self.is_descending { Self { below: id, ..self } } else { Self { above: id, ..self } }
    }

    /// The part of the range up to and including this id, in the range's order.
    #[must_use]
    pub fn up_to(self, id: i64) -> Self {
        if self.is_descending { Self { above: id - 1, ..self } } else { Self { below: id + 1, ..self } }
    }

    /// Sort key of an id: smaller keys come first.
    pub fn key(self, id: i64) -> i64 {
        if self.is_descending { -id } else { id }
    }

    /// The id that belongs to a sort key: the inverse of `key`.
    pub fn id(self, key: i64) -> i64 {
        self.key(key)
    }
}

/// Adds the bounds, the order and the limit of a range to a boxed query. The rows are ordered by `group` first, if given:
/// for a query that is restricted to one group in another way than by [`in_group!`].
macro_rules! in_range {
    ($query:expr, $id:expr, $range:expr, $limit:expr) => {
        in_range!(@build $query, ($id), $range, $limit)
    };
    ($query:expr, $group:expr, $id:expr, $range:expr, $limit:expr) => {
        in_range!(@build $query, ($id, $group), $range, $limit)
    };
    (@build $query:expr, ($id:expr $(, $group:expr)?), $range:expr, $limit:expr) => {{
        let (mut query, range) = ($query, $range);
        if range.above > i64::MIN {
            query = query.filter($id.gt(range.above));
        }
        if range.below < i64::MAX {
            query = query.filter($id.lt(range.below));
        }
        query = if range.is_descending {
            query.order(($($group.desc(),)? $id.desc()))
        } else {
            query.order(($($group.asc(),)? $id.asc()))
        };
        query.limit(i64::try_from($limit).unwrap_or(i64::MAX))
    }};
}
pub(super) use in_range;

/// Restricts a boxed query to one group and a range, and adds the order and the limit.
macro_rules! in_group {
    ($query:expr, $group:expr, $value:expr, $id:expr, $range:expr, $limit:expr) => {{
        let range: $crate::store::group_range::IdRange = $range;
        let query = $query.filter($crate::store::group_range::InGroup::new($group, $value, $id, range));
        let query = if range.is_descending {
            query.order(($group.desc(), $id.desc()))
        } else {
            query.order(($group.asc(), $id.asc()))
        };
        query.limit(i64::try_from($limit).unwrap_or(i64::MAX))
    }};
}
pub(super) use in_group;

/// Condition: a row belongs to the group `group = value`, and its id to a range. For this condition, the rows must be
/// ordered by `group`, then by `id`.
#[derive(Debug, Clone, Copy, QueryId)]
pub struct InGroup<G, I> {
    group: G,
    id: I,
    value: i64,
    range: IdRange,
}

impl<G, I> InGroup<G, I> {
    /// Makes the condition.
    pub fn new(group: G, value: i64, id: I, range: IdRange) -> Self {
        Self { group, id, value, range }
    }
}

/// Whether a database needs the second form of the module's comment.
pub trait ComparesRows {
    /// See the trait.
    fn compares_rows(&self) -> bool;
}

impl ComparesRows for Sqlite {
    fn compares_rows(&self) -> bool {
        false
    }
}

impl ComparesRows for Pg {
    fn compares_rows(&self) -> bool {
        true
    }
}

impl ComparesRows for MultiBackend {
    fn compares_rows(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

impl<G: ValidGrouping<B>, I: ValidGrouping<B>, B> ValidGrouping<B> for InGroup<G, I> {
    type IsAggregate = is_aggregate::No;
}

impl<G, I> Expression for InGroup<G, I> {
    type SqlType = Bool;
}

impl<G, I, S> SelectableExpression<S> for InGroup<G, I> where Self: AppearsOnTable<S> {}

impl<G: AppearsOnTable<S>, I: AppearsOnTable<S>, S> AppearsOnTable<S> for InGroup<G, I> {}

impl<G, I, B> QueryFragment<B> for InGroup<G, I>
where
    G: QueryFragment<B>,
    I: QueryFragment<B>,
    B: Backend + HasSqlType<BigInt> + ComparesRows,
    i64: ToSql<BigInt, B>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, B>) -> QueryResult<()> {
        let compares_rows = out.backend().compares_rows();
        if !compares_rows {
            self.group.walk_ast(out.reborrow())?;
            out.push_sql(" = ");
            out.push_bind_param::<BigInt, _>(&self.value)?;
        }
        for (at, (comparison, bound)) in
            [(" > ", &self.range.above), (" < ", &self.range.below)].into_iter().enumerate()
        {
            if compares_rows {
                out.push_sql(if at == 0 { "(" } else { " AND (" });
                self.group.walk_ast(out.reborrow())?;
                out.push_sql(", ");
                self.id.walk_ast(out.reborrow())?;
                out.push_sql(")");
                out.push_sql(comparison);
                out.push_sql("(");
                out.push_bind_param::<BigInt, _>(&self.value)?;
                out.push_sql(", ");
                out.push_bind_param::<BigInt, _>(bound)?;
                out.push_sql(")");
            } else {
                out.push_sql(" AND ");
                self.id.walk_ast(out.reborrow())?;
                out.push_sql(comparison);
                out.push_bind_param::<BigInt, _>(bound)?;
            }
        }
        Ok(())
    }
}

/// The same condition as SQL text, with `ORDER BY`. The group is given by pairs of a column and its value, in the order of
/// an index that ends with `id`.
pub fn in_group_as_sql(db: &Db, group: &[(&str, &str)], id: &str, range: &SqlRange) -> String {
    let SqlRange { above, below, is_descending } = range;
    let direction = if *is_descending { "DESC" } else { "ASC" };
    match db {
        Db::Sqlite(_) => {
            let equal: String = group.iter().map(|(column, value)| format!("{column} = {value} AND ")).collect();
            format!("{equal}{id} > {above} AND {id} < {below} ORDER BY {id} {direction}")
        }
        Db::Postgres(_) => {
            let (columns, values): (Vec<&str>, Vec<&str>) = group.iter().copied().unzip();
            let order: String = columns.iter().map(|column| format!("{column} {direction}, ")).collect();
            let (columns, values) = (columns.join(", "), values.join(", "));
            format!(
                "({columns}, {id}) > ({values}, {above}) AND ({columns}, {id}) < ({values}, {below}) \
                 ORDER BY {order}{id} {direction}"
            )
        }
    }
}

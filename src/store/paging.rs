//! Pages of a list that is ordered by one unique column.

/// Adds the bounds, the order and the limit of a window to a boxed query. `asc` or `desc` is the order of the
/// list. The query reads one row more than the limit, to know whether more rows follow.
macro_rules! window {
    ($query:expr, $column:expr, asc, $window:expr) => {
        window!(@build $query, $column, $window, gt, lt, asc, desc)
    };
    ($query:expr, $column:expr, desc, $window:expr) => {
        window!(@build $query, $column, $window, lt, gt, desc, asc)
    };
    (@build $query:expr, $column:expr, $window:expr, $beyond:ident, $short_of:ident, $forward:ident, $backward:ident) => {{
        let mut query = $query;
        if let Some(key) = $window.after.clone() {
            query = query.filter($column.$beyond(key));
        }
        if let Some(key) = $window.before.clone() {
            query = query.filter($column.$short_of(key));
        }
        query = if $window.from_end { query.order($column.$backward()) } else { query.order($column.$forward()) };
        query.limit(i64::try_from($window.limit).unwrap_or(i64::MAX - 1) + 1)
    }};
}

pub(super) use window;

use crate::model::{Page, PageRequest};

/// Builds a page from the rows of a [`window!`] query.
pub fn page<T, K>(mut rows: Vec<T>, window: &PageRequest<K>) -> Page<T> {
    let more = rows.len() > window.limit;
    rows.truncate(window.limit);
    if window.from_end {
        rows.reverse();
    }
    Page { items: rows, more }
}

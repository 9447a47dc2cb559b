//! Filters that several routes share.

use std::convert::Infallible;
use std::sync::Arc;

use warp::Filter;

use super::state::AppState;

/// Extracts the server's state.
pub fn with(site: &Arc<AppState>) -> impl Filter<Extract = (Arc<AppState>,), Error = Infallible> + Clone + use<> {
    let site = Arc::clone(site);
    warp::any().map(move || Arc::clone(&site))
}

/// Extracts the raw query string. It is empty if there is none.
pub fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

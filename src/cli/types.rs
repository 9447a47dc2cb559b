//! `tidings types`: types for programs that receive application events.

use std::sync::Arc;

use super::{output, typescript};
use crate::board::Board;

/// Runs `tidings types --ts`.
///
/// # Errors
/// One line for the operator if the command fails.
pub async fn run(board: Arc<Board>) -> Result<(), String> {
    let types = board.event_types.all().await.map_err(|error| error.to_string())?;
    output::print(&typescript::module(&types))
}

//! Runs use cases that block.

use crate::error::Result;

/// Runs a blocking use case on a thread where it does not block async tasks.
pub async fn blocking<T: Send + 'static>(
    use_case: impl FnOnce() -> Result<T> + Send + 'static,
) -> std::result::Result<T, String> {
    match tokio::task::spawn_blocking(use_case).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

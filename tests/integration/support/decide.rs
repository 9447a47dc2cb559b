//! A command of the writer for tests.

use tidings::error::Result;
use tidings::store::{BatchState, Effects, Needs, Settle, WriteCommand};

/// A command that decides by a closure and needs no rows.
pub struct Decide<F>(pub F);

impl<T, F> WriteCommand for Decide<F>
where
    T: Settle + Send + 'static,
    F: Fn(&BatchState, &mut Effects) -> Result<T> + Send + 'static,
{
    type Output = T;

    fn needs(&self, _: &mut Needs) {}

    fn decide(&self, state: &BatchState) -> Result<(T, Effects)> {
        let mut effects = state.effects();
        let output = (self.0)(state, &mut effects)?;
        Ok((output, effects))
    }
}

//! How a mutation waits for the disk without a thread of its own: its resolver is run twice. The first time it says
//! what is to be done, the second time it is given what was made of it, and that is shown.

use std::any::Any;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::error::{Error, Result};

/// What a use case of any kind answers.
type Made = Arc<dyn Any + Send + Sync>;
/// A use case that was asked for and is still to be run.
pub type Asked = BoxFuture<'static, Made>;

/// The one change of an operation.
#[derive(Default)]
pub struct Change(Mutex<State>);

#[derive(Default)]
enum State {
    /// No resolver has asked for one.
    #[default]
    None,
    /// And whether it takes the turns of what it writes itself.
    Asked(Asked, bool),
    Made(Made),
}

impl Change {
    /// What was made of it; or it is asked for, and nobody is shown this error.
    ///
    /// # Errors
    /// Those of the use case.
    pub fn made_or_asked<T, F>(&self, takes_turns: bool, case: impl FnOnce() -> F) -> Result<T>
    where
        T: Clone + Send + Sync + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let mut state = self.state();
        if let State::Made(made) = &*state {
            let made = made.downcast_ref::<Result<T>>();
            return made.cloned().unwrap_or_else(|| Err(Error::internal("another change was made")));
        }
        *state = State::Asked(case().map(|made| -> Made { Arc::new(made) }).boxed(), takes_turns);
        Err(Error::Unavailable("it is still to be done".into()))
    }

    /// Whether a resolver asked for one that is still to be made.
    pub fn is_asked(&self) -> bool {
        matches!(*self.state(), State::Asked(..))
    }

    /// What a resolver asked for, if one did, and whether that takes the turns of what it writes itself.
    pub fn take(&self) -> Option<(Asked, bool)> {
        match mem::take(&mut *self.state()) {
            State::Asked(asked, takes_turns) => Some((asked, takes_turns)),
            State::None | State::Made(_) => None,
        }
    }

    /// What was made of it.
    pub fn keep(&self, made: Made) {
        *self.state() = State::Made(made);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

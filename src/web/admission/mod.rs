//! Fair scheduling for connections that have not completed a request or a handshake: at most 16 of them are polled per
//! round of the scheduler. Otherwise thousands of connections that arrive, or time out, at once would delay the
//! established ones.

mod queue;
mod sync;
#[cfg(test)]
mod tests;

pub use queue::{Admission, AdmissionQueue};

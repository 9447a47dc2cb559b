//! How new the data of a read must be.

use super::Cursor;

/// How new the data of a read for a client must be. It decides whether a replica of the database may serve the read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Contains everything that this instance has committed or published when the read begins.
    Known,
    /// As [`Self::Known`], and contains the log up to this cursor, which a client sent.
    Reaching(Cursor),
    /// The newest state, which only the primary has: for permissions, passwords, and results of mutations.
    Newest,
}

//! Models of the hand-made synchronization. loom runs each model in every interleaving of its threads, and with every
//! value that the memory model lets an atomic load return. A lost wake-up shows as a deadlock.
//!
//! The sources of the server are compiled a second time, with the primitives of loom: `#[path]` includes them, and a
//! module `sync` in their place provides the primitives. So the build of the server needs no `cfg` for loom.

// The sources import `crate::model`.
use tidings::model;

mod admission;
mod hub;

/// Checks a model in all interleavings that interrupt threads `interruptions` times at most, or
/// `LOOM_MAX_PREEMPTIONS` times. Without that bound, a model would run for hours. Few interruptions find most errors
/// (Musuvathi and Qadeer: Iterative Context Bounding, PLDI 2007).
fn check(interruptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(interruptions);
    builder.check(model);
}

//! Who may see what, over real sockets.

mod doors;

mod scene;
mod silence;

//! Who may see what, over real sockets.

mod doors;
mod matrix;

mod scene;
mod secrets;
mod silence;

//! Access rules, checked over real connections.

mod doors;
mod matrix;

mod scene;
mod secrets;
mod silence;

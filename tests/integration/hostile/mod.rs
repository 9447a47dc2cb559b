//! Hostile anonymous clients: each request gets its answer in bounded time and memory.

mod attacks;
mod bystander;
mod documents;
mod floods;
mod large;
mod places;
mod siege;

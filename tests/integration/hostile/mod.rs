//! Hostile anonymous clients: each request gets its answer in bounded time and memory.

mod attack_runs;
mod attacks;
mod background_client;
mod connection_limits;
mod documents;
mod floods;
mod large_responses;

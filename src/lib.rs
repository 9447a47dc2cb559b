//! tidings: a self-hosted live-data server. See ARCHITECTURE.md for the floors of this house.

// They panic when the reader has left: `cli::output` prints.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod app;
pub mod auth;
pub mod board;
pub mod capacity;
pub mod cli;
pub mod config;
pub mod error;
pub mod graphql;
pub mod hub;
pub mod live;
pub mod model;
pub mod store;
pub mod unicode;
pub mod vitals;
pub mod web;

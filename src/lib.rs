//! tidings: a self-hosted live-data server. See ARCHITECTURE.md for the floors of this house.

pub mod app;
pub mod auth;
pub mod board;
pub mod cli;
pub mod config;
pub mod error;
pub mod graphql;
pub mod hub;
pub mod model;
pub mod store;
pub mod web;

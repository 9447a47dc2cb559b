//! The integration tests: one binary; each test starts its own server on a port of its own with a
//! database of its own, in this process, and talks to it as clients do.

mod access;
mod accounts;
mod board;
mod command_line;
mod compression;
mod conformance;
mod crowd;
mod edge;
mod floors;
mod fuzz;
mod graphql;
mod hostile;
mod instances;
mod json_socket;
mod live_values;
mod log;
mod log_pages;
mod metrics;
mod notifications;
mod recipes;
mod refusals;
mod response_size;
mod rights;
mod schema;
mod scripts;
mod slow_reader;
mod sockets;
mod sse;
mod startup;
mod statements;
mod subscriptions;
mod support;
mod torture;
mod vitals;
mod wall_clock;

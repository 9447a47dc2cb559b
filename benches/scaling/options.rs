//! The settings of a run, from environment variables.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::Outcome;

/// The label of the binary with which the measured one is compared.
pub const BASE: &str = "base";

pub struct Options {
    /// The measured time of each row.
    pub duration: Duration,
    pub clients: usize,
    /// The times that the proxy adds to a round trip.
    pub round_trips: Vec<Duration>,
    pub instances: Vec<usize>,
    pub servers: Vec<Server>,
}

/// A measured build of the server.
#[derive(Clone)]
pub struct Server {
    pub label: String,
    pub binary: PathBuf,
}

impl Options {
    /// # Errors
    /// The name of the variable, if its value is wrong.
    pub fn from_environment() -> Outcome<Self> {
        let binary = read("TIDINGS_BENCH_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_tidings").into());
        let mut servers = vec![Server::new("tidings", &binary)?];
        if let Some(base) = read("TIDINGS_BENCH_BASE") {
            servers.push(Server::new(BASE, &base)?);
        }
        let milliseconds: Vec<f64> = list("TIDINGS_BENCH_ROUND_TRIPS", "0,0.5,1", |number| *number >= 0.0)?;
        Ok(Self {
            duration: Duration::from_secs(one("TIDINGS_BENCH_SECONDS", "8", |number| *number >= 1)?),
            clients: one("TIDINGS_BENCH_CLIENTS", "64", |number| *number >= 1)?,
            round_trips: milliseconds.into_iter().map(|number| Duration::from_secs_f64(number / 1e3)).collect(),
            instances: list("TIDINGS_BENCH_INSTANCES", "1,4", |number| *number >= 1)?,
            servers,
        })
    }
}

impl Server {
    fn new(label: &str, binary: &str) -> Outcome<Self> {
        // Servers run in a directory of their own, so a relative path would not lead to the binary.
        let binary = std::fs::canonicalize(binary).map_err(|error| format!("{binary}: {error}"))?;
        Ok(Self { label: label.to_owned(), binary })
    }
}

/// The value of a variable; `None` if the variable is missing or empty.
fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn one<T: FromStr>(name: &str, default: &str, is_valid: impl Fn(&T) -> bool) -> Outcome<T> {
    let value = read(name).unwrap_or_else(|| default.to_owned());
    value.trim().parse().ok().filter(is_valid).ok_or_else(|| format!("{name}: {value:?} is not a valid number"))
}

fn list<T: FromStr>(name: &str, default: &str, is_valid: impl Fn(&T) -> bool) -> Outcome<Vec<T>> {
    let value = read(name).unwrap_or_else(|| default.to_owned());
    let numbers: Option<Vec<T>> = value.split(',').map(|number| number.trim().parse().ok().filter(&is_valid)).collect();
    numbers.ok_or_else(|| format!("{name}: {value:?} is not a list of valid numbers, separated by commas"))
}

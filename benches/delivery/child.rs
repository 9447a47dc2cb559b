//! A server under test as a child process: started on its core, found by the address it prints, killed when dropped.

use std::{
    fs::File,
    net::SocketAddr,
    path::Path,
    process::{Child as Process, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{Outcome, measure};

/// How long a server may take to print its address.
const START: Duration = Duration::from_secs(30);

/// A running server.
pub struct Child {
    process: Process,
    address: SocketAddr,
}

impl Child {
    /// Runs `program` on the servers' core, and waits until it has printed its address. Its output goes to the file `log`.
    ///
    /// `setpriv` makes the kernel kill the server when this process ends. `taskset` keeps it on its core. Both exec the
    /// next program, so the child's process id is that of the server.
    pub fn start(program: &[&str], environment: &[(&str, String)], log: &Path) -> Outcome<Self> {
        let output = File::create(log).map_err(|error| error.to_string())?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if measure::pinned() {
            command.args(["taskset", "-c", measure::SERVER_CORE]);
        }
        command.args(program);
        // Settings in the environment of the benchmark must not change the measured server.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDINGS_")) {
            command.env_remove(name);
        }
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let process = command
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("starting {program:?} through setpriv: {error}"))?;
        let mut child = Self { process, address: SocketAddr::from(([0, 0, 0, 0], 0)) };
        child.address = child.announced(log)?;
        Ok(child)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills the process and waits for its end.
    pub fn kill(&mut self) {
        // Both calls fail only if the process has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn announced(&mut self, log: &Path) -> Outcome<SocketAddr> {
        let started = Instant::now();
        loop {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            if let Some(address) = text.lines().find_map(address_in) {
                return Ok(address);
            }
            let ended = self.process.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || started.elapsed() > START {
                return Err(format!("the server printed no address ({ended:?}); its output:\n{text}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The loopback address in a line such as `listening on http://127.0.0.1:4321`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let start = line.find("127.0.0.1:")?;
    let end = line[start + 10..].find(|next: char| !next.is_ascii_digit()).map_or(line.len(), |end| start + 10 + end);
    line[start..end].parse().ok().filter(|address: &SocketAddr| address.port() != 0)
}

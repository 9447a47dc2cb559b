//! The libraries for Node.js and Python in `tests/clients/`, for tests that run programs with them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The directory in which programs for Node.js find the libraries.
pub const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// Installs the libraries if that was not done before. Returns the Python that has them; `None` if no Python on this
/// machine can create a virtual environment.
pub fn python() -> Option<&'static PathBuf> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let install = || {
        let output = Command::new("node").arg("runner/prepare.mjs").current_dir(CLIENTS).output().expect("node runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let path = String::from_utf8(output.stdout).expect("a path");
        Some(PathBuf::from(path.trim())).filter(|path| !path.as_os_str().is_empty())
    };
    PYTHON.get_or_init(install).as_ref()
}

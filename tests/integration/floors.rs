//! The floors of the house: imports point down only, and each library has its rooms.

use std::path::{Path, PathBuf};

/// Each floor with those it may use.
const FLOORS: [(&str, &[&str]); 14] = [
    ("model", &[]),
    ("vitals", &[]),
    ("error", &["model"]),
    ("config", &[]),
    ("unicode", &[]),
    ("capacity", &["error", "model"]),
    ("auth", &["capacity", "error", "model", "unicode"]),
    ("store", &["capacity", "error", "model", "unicode", "vitals"]),
    ("hub", &["error", "model", "vitals"]),
    ("board", &["auth", "capacity", "error", "hub", "model", "store", "unicode", "vitals"]),
    ("graphql", &["board", "capacity", "error", "hub", "model", "store", "unicode"]),
    ("web", &["board", "capacity", "config", "error", "graphql", "hub", "model", "vitals"]),
    ("app", &["auth", "board", "capacity", "config", "error", "graphql", "model", "store", "vitals", "web"]),
    ("cli", &["app", "auth", "board", "config", "error", "graphql", "model"]),
];

/// Libraries, and the floors they stay on.
const ROOMS: [(&str, &[&str]); 15] = [
    ("diesel", &["store"]),
    ("r2d2", &["store"]),
    ("juniper", &["graphql", "web/socket"]),
    ("warp", &["web"]),
    ("hyper", &["web"]),
    ("tokio_tungstenite", &["web"]),
    ("flate2", &["web"]),
    ("socket2", &["web"]),
    ("clap", &["cli", "config"]),
    ("argon2", &["auth"]),
    ("jsonwebtoken", &["auth"]),
    ("rustix", &["app", "cli/log/writer", "cli/tail", "store/files"]),
    ("caseless", &["unicode"]),
    ("unicode_normalization", &["unicode"]),
    ("unicode_security", &["unicode"]),
];

#[test]
fn imports_point_down_and_libraries_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let code: String =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        let floor = path.split(['/', '.']).next().unwrap_or_default();
        let allowed = FLOORS.iter().find(|(name, _)| *name == floor).map(|(_, allowed)| *allowed);
        for (other, _) in FLOORS {
            let uses = code.contains(&format!("crate::{other}::")) || code.contains(&format!("crate::{other};"));
            if uses && other != floor && allowed.is_some_and(|allowed| !allowed.contains(&other)) {
                wrong.push(format!("{path} uses {other}"));
            }
        }
        for (library, rooms) in ROOMS {
            let uses = code.contains(&format!("{library}::")) && !code.contains(&format!("::{library}::"));
            if uses && !rooms.iter().any(|room| path.starts_with(room)) {
                wrong.push(format!("{path} uses {library}"));
            }
        }
        if code.contains("std::env") && !["config", "cli"].contains(&floor) {
            wrong.push(format!("{path} looks at the environment"));
        }
        if code.contains("\nstatic ")
            || code.contains("\npub static ")
            || code.contains("OnceLock<") && code.contains("static ")
        {
            wrong.push(format!("{path} has a global"));
        }
        if ["utils", "helpers", "common", "misc"].iter().any(|room| path.contains(room)) {
            wrong.push(format!("{path} is a room for anything"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The sources with their paths below `src`, but for the two roots.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut todo) = (Vec::new(), vec![root.clone()]);
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
                if !["lib.rs", "main.rs"].contains(&name.as_str()) {
                    found.push((name, std::fs::read_to_string(&path).expect("a source")));
                }
            }
        }
    }
    assert!(found.len() > 50, "the sources are where they are looked for");
    found
}

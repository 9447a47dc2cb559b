//! Builds the pages that the binary contains. If `static/dist/` is missing or older than its sources, npm builds it.
//! Then this script writes `$OUT_DIR/assets.rs`, the table that `src/web/assets.rs` includes.
//!
//! A `static/dist/` that is newer than its sources is used as it is. So a machine without Node.js can build a tree whose
//! pages were built elsewhere. The script uses the standard library only.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use std::{env, io};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What in `static/` is made rather than written.
const MADE: [&str; 2] = ["node_modules", "dist"];

const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

fn main() {
    // `cargo::error` fails the build with this one line, where a panic would bury it.
    if let Err(error) = run() {
        println!("cargo::error=the web pages could not be built: {error}");
    }
}

fn run() -> Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("static");
    let sources = sources(&root)?;
    let manifest = root.join("dist/manifest.tsv");

    println!("cargo::rerun-if-changed=build.rs");
    for source in &sources {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    // Deleting dist, or building it by hand, is noticed too.
    println!("cargo::rerun-if-changed={}", manifest.display());

    build_pages(&root, &manifest, newest(&sources)?)?;
    let table = table(&root.join("dist"), &fs::read_to_string(&manifest)?)?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("assets.rs"), table)?;
    Ok(())
}

/// The source files and directories directly in `static/`. Cargo watches directories with their content.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if !MADE.iter().any(|made| entry.file_name() == *made) {
            sources.push(entry.path());
        }
    }
    sources.sort();
    Ok(sources)
}

/// When the newest of `paths`, or of what is in them, was changed.
fn newest(paths: &[PathBuf]) -> io::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for path in paths {
        newest = newest.max(path.metadata()?.modified()?);
        if path.is_dir() {
            let inside: Vec<_> =
                fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
            newest = newest.max(self::newest(&inside)?);
        }
    }
    Ok(newest)
}

fn build_pages(root: &Path, manifest: &Path, newest_source: SystemTime) -> Result<()> {
    fs::create_dir_all(root.join("dist"))?;
    // Builds into different target directories do not wait for each other, but they share static/.
    let lock = File::create(root.join("dist/.lock"))?;
    lock.lock()?;

    if is_fresh(manifest, newest_source) {
        return Ok(());
    }
    let lockfile = root.join("package-lock.json").metadata()?.modified()?;
    // npm writes this file last, so its age is the age of the installation.
    if !is_fresh(&root.join("node_modules/.package-lock.json"), lockfile) {
        call(NPM, &["ci", "--no-audit", "--no-fund"], root)?;
    }
    call("node", &["build.mjs"], root)?;
    // Cargo runs this script again when a file named above is newer than the last run, which has only just begun.
    File::options().write(true).open(manifest)?.set_modified(newest_source)?;
    Ok(())
}

fn is_fresh(made: &Path, source: SystemTime) -> bool {
    made.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|modified| modified >= source)
}

fn call(program: &str, arguments: &[&str], directory: &Path) -> Result<()> {
    let command = format!("`{program} {}`", arguments.join(" "));
    let output = match Command::new(program).args(arguments).current_dir(directory).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!("{program} was not found; install Node.js 20 or newer with npm").into());
        }
        Err(error) => return Err(format!("{command} did not start: {error}").into()),
    };
    if output.status.success() {
        return Ok(());
    }
    let said = gist(&String::from_utf8_lossy(&output.stderr));
    Err(format!("{command} in static/ failed ({}): {said}", output.status).into())
}

/// The first things that npm or node called an error: Cargo shows one line, and not what else they said.
fn gist(said: &str) -> String {
    let lines = said
        .lines()
        .filter(|line| line.to_lowercase().contains("error"))
        .map(|line| line.trim_start_matches("npm error").trim())
        .filter(|line| !line.is_empty());
    lines.take(3).collect::<Vec<_>>().join("; ")
}

/// The Rust source of the table. A line of the manifest is described in `static/build.mjs`.
fn table(dist: &Path, manifest: &str) -> Result<String> {
    let include = |file: &str| format!("include_bytes!({:?})", dist.join(file).to_string_lossy());
    let variant = |file: &str| match file {
        "-" => "None".to_owned(),
        file => format!("Some({})", include(file)),
    };
    let mut table = String::from("static ASSETS: &[Asset] = &[\n");
    for line in manifest.lines() {
        let [path, content_type, hash, caching, file, gzip, brotli] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("static/dist/manifest.tsv has a line that is not understood: {line}").into());
        };
        writeln!(
            table,
            "    Asset {{ path: {path:?}, content_type: {content_type:?}, etag: {hash:?}, immutable: {}, \
             identity: {}, gzip: {}, brotli: {} }},",
            caching == "immutable",
            include(file),
            variant(gzip),
            variant(brotli),
        )?;
    }
    table.push_str("];\n");
    Ok(table)
}

//! A database per test: a SQLite file, or one of a PostgreSQL server that the run starts by itself.
//! `TIDINGS_TEST_DATABASE=postgres` chooses.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tidings::config::{DatabaseUrl, Secret};

/// A fresh database; `directory` is the test's own.
pub fn fresh(directory: &Path) -> DatabaseUrl {
    if is_postgres() {
        postgres().create_database().parse().expect("a URL")
    } else {
        DatabaseUrl::Sqlite(directory.join("tidings.db"))
    }
}

/// Whether this run is on PostgreSQL.
pub fn is_postgres() -> bool {
    std::env::var("TIDINGS_TEST_DATABASE").is_ok_and(|name| name == "postgres")
}

/// What tokens are signed with in this run: with PostgreSQL there is no file to keep one in.
pub fn secret() -> Option<Secret> {
    is_postgres().then(|| SECRET.parse().expect("a secret"))
}

/// The same for servers in processes of their own.
pub const SECRET: &str = "only for tests: 0123456789abcdef0123456789abcdef";

const PREFIX: &str = "tidings-postgres-";

/// A PostgreSQL server that ends with this process.
struct Postgres {
    port: u16,
    databases: AtomicU32,
}

fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(Postgres::start)
}

impl Postgres {
    fn start() -> Self {
        let programs = programs();
        forget_earlier_runs();
        let root = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
        std::fs::create_dir_all(&root).expect("a directory");
        let data = root.join("data");
        // PostgreSQL does not run as root: then it runs as the user that its package made.
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
        if is_root {
            run(Command::new("chown").arg("postgres").arg(&root));
        }
        let unprivileged = |program: &str| {
            let program = programs.join(program);
            let mut command = Command::new("setpriv");
            // It ends when the thread that started it does: that one never does before the process.
            command.args(["--pdeathsig", "INT"]);
            if is_root {
                command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
            }
            command.arg(program).current_dir(&root);
            command
        };
        run(unprivileged("initdb").args(["--no-sync", "-A", "trust", "-U", "tidings", "-D"]).arg(&data));
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let mut server = unprivileged("postgres");
        server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k", ""]);
        server.args(["-c", "max_connections=500", "-c", "fsync=off", "-c", "full_page_writes=off"]);
        let log = std::fs::File::create(root.join("log")).expect("a file");
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        std::thread::spawn(move || {
            let mut child = server.spawn().expect("postgres starts");
            drop(child.wait());
        });
        let server = Self { port, databases: AtomicU32::new(0) };
        server.wait(&programs);
        server
    }

    fn wait(&self, programs: &Path) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let ready = || {
            let mut ask = Command::new(programs.join("pg_isready"));
            ask.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            ask.status().is_ok_and(|status| status.success())
        };
        while !ready() {
            assert!(Instant::now() < deadline, "PostgreSQL is not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn create_database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut create = Command::new(programs().join("createdb"));
        run(create.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "tidings", &name]));
        format!("postgres://tidings@127.0.0.1:{}/{name}", self.port)
    }
}

/// Nothing runs at the end of a test binary: whoever comes next cleans up.
fn forget_earlier_runs() {
    for entry in std::fs::read_dir(std::env::temp_dir()).expect("a directory").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let run = name.strip_prefix(PREFIX).and_then(|id| id.parse::<u32>().ok());
        if run.is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists()) {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

/// Where Debian and others put PostgreSQL's programs: the newest of them.
fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    found.retain(|path| path.join("initdb").exists());
    found.sort_by_key(|path| path.parent().and_then(|path| path.file_name()?.to_str()?.parse::<u32>().ok()));
    found.pop().expect("PostgreSQL is missing: make setup")
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

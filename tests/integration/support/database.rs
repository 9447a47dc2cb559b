//! A separate database for each test: a SQLite file, or a database on a PostgreSQL server that the test run starts.
//! `TIDINGS_TEST_DATABASE=postgres` selects PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection, SqliteConnection};
use tidings::config::{DatabaseUrl, Secret};

/// Creates an empty database. A SQLite file is created in `directory`.
pub fn fresh(directory: &Path) -> DatabaseUrl {
    if is_postgres() {
        fresh_postgres().parse().expect("a URL")
    } else {
        DatabaseUrl::Sqlite(directory.join("tidings.db"))
    }
}

/// Creates an empty database on the PostgreSQL server that the tests share; returns its URL.
pub fn fresh_postgres() -> String {
    let server = postgres();
    server.url(server.port(), &server.create_database())
}

/// Whether this run uses PostgreSQL.
pub fn is_postgres() -> bool {
    std::env::var("TIDINGS_TEST_DATABASE").is_ok_and(|name| name == "postgres")
}

/// Runs SQL on a connection of its own, beside the server.
pub fn sql(url: &str, sqlite: &str, postgres: &str) {
    match url.strip_prefix("sqlite://") {
        Some(path) => {
            let mut connection = SqliteConnection::establish(path).expect("the database");
            connection.batch_execute("PRAGMA busy_timeout = 20000; PRAGMA synchronous = OFF").expect("settings");
            connection.batch_execute(sqlite).expect("SQL");
        }
        None => {
            let mut connection = PgConnection::establish(url).expect("the database");
            connection.batch_execute(postgres).expect("SQL");
            connection.batch_execute("ANALYZE").expect("SQL");
        }
    }
}

/// Inserts `count` messages into a channel directly, without events in the log.
pub fn fill(url: &str, channel: &str, author: &str, count: u32, more: (&str, &str)) {
    let (columns, values) = more;
    let insert = format!(
        "INSERT INTO messages (channel_id, content, author_id, restricted, created_at, updated_at, seq, tag{columns}) \
         SELECT {channel}, 'text', {author}, FALSE, 0, 0, 0, 0{values} FROM "
    );
    let sqlite =
        format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) {insert} n");
    sql(url, &sqlite, &format!("{insert} generate_series(1, {count})"));
}

/// The JWT secret for this run. PostgreSQL needs one, because there is no database file to keep a generated secret
/// beside.
pub fn secret() -> Option<Secret> {
    is_postgres().then(|| SECRET.parse().expect("a secret"))
}

/// The JWT secret for servers in separate processes.
pub const SECRET: &str = "only for tests: 0123456789abcdef0123456789abcdef";

const PREFIX: &str = "tidings-postgres-";

/// A PostgreSQL server that is stopped when this value is dropped or the process ends.
pub struct Postgres {
    root: PathBuf,
    port: u16,
    /// The process id of the running server, and the thread that waits for the process.
    running: Mutex<Option<(u32, JoinHandle<()>)>>,
    databases: AtomicU32,
}

/// The PostgreSQL server on which most tests create their databases.
fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    // Durability after a machine crash does not matter in tests.
    SERVER.get_or_init(|| Postgres::start("shared", &["fsync=off", "full_page_writes=off", "max_connections=500"]))
}

impl Postgres {
    /// Starts a server with these settings. `name` must be unique in this process.
    pub fn start(name: &str, settings: &[&str]) -> Self {
        remove_earlier_runs();
        let server = Self::new(name);
        let port = server.port;
        run(server.unprivileged("initdb").args(["--no-sync", "-A", "trust", "-U", "tidings", "-D", "data"]));
        let settings: String = settings.iter().map(|setting| format!("{setting}\n")).collect();
        let listen_settings = format!("port={port}\nlisten_addresses='127.0.0.1'\nunix_socket_directories=''\n");
        let file = server.root.join("data/postgresql.auto.conf");
        std::fs::write(file, listen_settings + &settings).expect("settings");
        server.launch();
        server
    }

    /// Reserves a directory and a port; starts nothing.
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("{PREFIX}{}-{name}", std::process::id()));
        std::fs::create_dir_all(&root).expect("a directory");
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&root));
        }
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        Self { root, port, running: Mutex::default(), databases: AtomicU32::new(0) }
    }

    /// Starts a standby that replicates asynchronously from this server.
    pub fn standby(&self, name: &str) -> Self {
        let standby = Self::new(name);
        let primary = format!("host=127.0.0.1 port={} user=tidings", self.port);
        let copy = ["--no-sync", "-R", "-c", "fast", "-X", "stream", "-D", "data", "-d", &primary];
        run(standby.unprivileged("pg_basebackup").args(copy));
        let file = standby.root.join("data/postgresql.auto.conf");
        let settings = std::fs::read_to_string(&file).expect("settings");
        // The last value of a setting in the file wins.
        std::fs::write(file, format!("{settings}\nport={}\n", standby.port)).expect("settings");
        standby.launch();
        standby
    }

    /// Waits until `standby` has replayed everything that is committed here.
    pub fn wait_for(&self, standby: &Self) {
        let ask = |server: &Self, query: &str| server.run("psql", &["-qAt", "-d", "postgres", "-c", query]);
        let written = ask(self, "SELECT pg_current_wal_lsn()");
        let query = format!("SELECT pg_last_wal_replay_lsn() >= '{}'", written.trim());
        let deadline = Instant::now() + Duration::from_secs(30);
        while ask(standby, &query).trim() != "t" {
            assert!(Instant::now() < deadline, "the standby does not catch up: {}", standby.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops this standby from applying what it receives, until [`Self::resume_replay`].
    pub fn pause_replay(&self) {
        let paused = "SELECT pg_wal_replay_pause(); SELECT pg_get_wal_replay_pause_state()";
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.run("psql", &["-qAt", "-d", "postgres", "-c", paused]).trim() != "paused" {
            assert!(Instant::now() < deadline, "the standby does not pause: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn resume_replay(&self) {
        self.run("psql", &["-qAt", "-d", "postgres", "-c", "SELECT pg_wal_replay_resume()"]);
    }

    /// Promotes this standby to primary.
    pub fn promote(&self) {
        self.run("psql", &["-qAt", "-d", "postgres", "-c", "SELECT pg_promote(true, 30)"]);
    }

    /// A command that runs as an unprivileged user: PostgreSQL refuses to run as root, so root switches to `postgres`.
    fn unprivileged(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        // The signal is sent when the thread that spawned the child ends. That thread waits for the child, so it only
        // ends first if the whole process does.
        command.args(["--pdeathsig", "INT"]);
        if is_root() {
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
        }
        command.arg(programs().join(program)).current_dir(&self.root);
        command
    }

    fn launch(&self) {
        let mut server = self.unprivileged("postgres");
        let log = std::fs::File::options().create(true).append(true).open(self.root.join("log")).expect("a file");
        server.args(["-D", "data"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let (started, starting) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut child = server.spawn().expect("postgres starts");
            started.send(child.id()).expect("the receiver exists");
            drop(child.wait());
        });
        let id = starting.recv().expect("postgres starts");
        *self.running.lock().expect("the server") = Some((id, thread));
        self.wait();
    }

    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let ready = || {
            let mut ask = Command::new(programs().join("pg_isready"));
            ask.args(["-q", "-h", "127.0.0.1", "-d", "postgres", "-U", "tidings", "-p", &self.port.to_string()]);
            ask.status().is_ok_and(|status| status.success())
        };
        while !ready() {
            assert!(Instant::now() < deadline, "PostgreSQL is not ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops the server immediately (SIGQUIT): no shutdown message to clients, no checkpoint.
    pub fn stop(&self) {
        self.end("-QUIT");
    }

    /// Stops the server with a fast shutdown (SIGINT), which writes a checkpoint.
    pub fn stop_cleanly(&self) {
        self.end("-INT");
    }

    fn end(&self, signal: &str) {
        if let Some((id, thread)) = self.running.lock().expect("the server").take() {
            run(Command::new("kill").args([signal, &id.to_string()]));
            thread.join().expect("postgres ends");
        }
    }

    /// Starts the server again after [`Self::stop`].
    pub fn start_again(&self) {
        self.launch();
    }

    /// Restarts the server so that it accepts only TLS connections, with this certificate and key.
    pub fn encrypt(&self, certificate: &Path, key: &Path) {
        self.stop();
        let data = self.root.join("data");
        for (from, to) in [(certificate, "server.crt"), (key, "server.key")] {
            let to = data.join(to);
            std::fs::copy(from, &to).expect("a copy");
            run(Command::new("chmod").arg("600").arg(&to));
            if is_root() {
                run(Command::new("chown").arg("postgres").arg(&to));
            }
        }
        let file = data.join("postgresql.auto.conf");
        let settings = std::fs::read_to_string(&file).expect("settings");
        std::fs::write(file, settings + "ssl=on\n").expect("settings");
        std::fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n").expect("settings");
        self.start_again();
    }

    /// Creates a user that must authenticate with a password and owns nothing.
    pub fn add_user(&self, name: &str, password: &str) {
        self.run("psql", &["-qc", &format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'"), "postgres"]);
        let rules = format!("host all {name} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n");
        std::fs::write(self.root.join("data/pg_hba.conf"), rules).expect("settings");
        self.run("psql", &["-qc", "SELECT pg_reload_conf()", "postgres"]);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The log of the server. With `log_statement=all` it has every statement.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.root.join("log")).unwrap_or_default()
    }

    /// Creates an empty database; returns its name.
    pub fn create_database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run("createdb", &[&name]);
        name
    }

    /// The URL of a database, through a port that leads to this server (for example a proxy).
    pub fn url(&self, port: u16, name: &str) -> String {
        format!("postgres://tidings@127.0.0.1:{port}/{name}")
    }

    /// Runs a PostgreSQL client program; returns its standard output.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut client = Command::new(programs().join(program));
        client.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "tidings"]).args(arguments);
        run(&mut client)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
        drop(std::fs::remove_dir_all(&self.root));
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n")
}

/// Removes the directories of earlier test runs: statics are not dropped when a test binary ends.
fn remove_earlier_runs() {
    for entry in std::fs::read_dir(std::env::temp_dir()).expect("a directory").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let run = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if run.is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists()) {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

/// The directory of the newest installed PostgreSQL, at the path that Debian and Ubuntu use.
fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    found.retain(|path| path.join("initdb").exists());
    found.sort_by_key(|path| path.parent().and_then(|path| path.file_name()?.to_str()?.parse::<u32>().ok()));
    found.pop().expect("PostgreSQL is missing: make setup")
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

//! SQLite files that cannot be used stop the start with one line.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use tokio::process::Command;

use super::{failure_line, shell, success_output, tidings};

fn database(path: &Path, statements: &str) {
    let mut connection = SqliteConnection::establish(path.to_str().expect("text")).expect("a database");
    connection.batch_execute(statements).expect("statements");
}

fn is_root() -> bool {
    std::process::Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n")
}

/// A shell command that runs as a user without root's privileges, to whom file modes apply.
fn as_user(directory: &Path, line: &str) -> Command {
    if is_root() {
        shell(directory, &format!("exec setpriv --reuid 65534 --regid 65534 --clear-groups {line}"))
    } else {
        shell(directory, &format!("exec {line}"))
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

#[tokio::test]
async fn unwritable_files_stop_the_start_with_their_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let inner = directory.path().join("data");
    fs::create_dir(&inner).expect("a directory");
    success_output(&mut tidings(&inner, &["user", "add", "eva"])).await;
    set_mode(directory.path(), 0o755);
    let file = inner.join("tidings.db");
    // A write-ahead log that is left over would also belong to this user.
    database(&file, "PRAGMA wal_checkpoint(TRUNCATE)");
    let other_files = ["tidings.secret"].map(|name| inner.join(name));
    other_files.iter().for_each(|path| set_mode(path, 0o644));
    // The modes of the directory and of the database, and the name in the error.
    for (of_directory, of_file, named) in [(0o777, 0o444, "tidings.db"), (0o555, 0o666, ".")] {
        set_mode(&inner, of_directory);
        set_mode(&file, of_file);
        for arguments in ["serve", "migrate", "user list"] {
            let line = failure_line(&mut as_user(&inner, &format!("\"$TIDINGS\" {arguments}"))).await;
            let message =
                format!("cannot open sqlite://tidings.db: {named} cannot be read and written by this process");
            assert!(line.starts_with(&message), "{arguments}: {line}");
            assert!(line.contains("chown 65534") || line.contains("chmod"), "the error says how to fix it: {line}");
        }
    }
    set_mode(&inner, 0o777);
    set_mode(&file, 0o666);
    let wal = inner.join("tidings.db-wal");
    fs::write(&wal, "").expect("a file");
    set_mode(&wal, 0o444);
    let line = failure_line(&mut as_user(&inner, "\"$TIDINGS\" serve")).await;
    assert!(line.contains("tidings.db-wal cannot be read and written"), "{line}");
}

#[tokio::test]
async fn unusable_database_files_stop_the_start_with_the_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    fs::write(at("text.db"), "This is a letter, not a database.\n".repeat(200)).expect("a file");
    fs::create_dir(at("directory.db")).expect("a directory");
    database(&at("other.db"), "CREATE TABLE bookmarks (url TEXT)");
    database(&at("wide.db"), "PRAGMA encoding = 'UTF-16le'; CREATE TABLE x (y TEXT); DROP TABLE x");
    for name in ["newer.db", "torn.db", "zeroed.db"] {
        let url = format!("sqlite://{name}");
        success_output(&mut tidings(directory.path(), &["user", "add", "eva", "--database-url", &url])).await;
    }
    database(&at("newer.db"), "INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000000')");
    // Otherwise the write-ahead log would repair the damaged files.
    for name in ["torn.db", "zeroed.db"] {
        database(&at(name), "PRAGMA wal_checkpoint(TRUNCATE)");
    }
    let torn = fs::read(at("torn.db")).expect("a database");
    fs::write(at("torn.db"), &torn[..torn.len() / 2 / 4096 * 4096]).expect("a file");
    let mut zeroed = fs::read(at("zeroed.db")).expect("a database");
    zeroed[..100].fill(0);
    fs::write(at("zeroed.db"), zeroed).expect("a file");
    for (name, message) in [
        ("text.db", "file is not a database"),
        ("zeroed.db", "file is not a database"),
        ("directory.db", "no regular file"),
        ("other.db", "another program"),
        ("wide.db", "UTF-16le"),
        ("newer.db", "newer tidings"),
        ("torn.db", "malformed"),
        ("nowhere/x.db", "directory nowhere does not exist"),
        ("text.db/x.db", "text.db"),
    ] {
        let before = fs::read(at(name)).ok();
        let url = format!("sqlite://{name}");
        for arguments in [&["serve"][..], &["migrate"], &["user", "add", "ben"]] {
            let line = failure_line(tidings(directory.path(), arguments).env("DATABASE_URL", &url)).await;
            assert!(
                line.starts_with(&format!("cannot open {url}: ")) && line.contains(message),
                "{arguments:?}: {line}"
            );
        }
        assert!(fs::read(at(name)).ok() == before, "{name} must not be changed");
    }
}

/// With a mistyped path, these commands would otherwise create an empty database.
#[tokio::test]
async fn reading_commands_create_no_database() {
    let directory = tempfile::tempdir().expect("a directory");
    for arguments in [&["user", "list"][..], &["user", "disable", "eva"], &["token", "eva"], &["tail"]] {
        let line = failure_line(&mut tidings(directory.path(), arguments)).await;
        assert!(line.starts_with("tidings.db does not exist"), "{arguments:?}: {line}");
    }
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

/// Needs a mount namespace, which not every machine permits, for a read-only file system.
#[tokio::test]
async fn a_read_only_file_system_stops_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    success_output(&mut tidings(directory.path(), &["user", "add", "eva"])).await;
    let unshare = if is_root() { "unshare -m" } else { "unshare -rm" };
    let mounted = "mount --bind . . && mount -o remount,bind,ro . && cd \"$PWD\"";
    let probe = shell(directory.path(), &format!("{unshare} sh -c '{mounted}'")).stderr(Stdio::null()).status().await;
    if !probe.is_ok_and(|status| status.success()) {
        let mut report = crate::support::Report::new("A read-only file system");
        return report.line("skipped: mounting is not permitted on this machine");
    }
    for arguments in ["serve", "user list"] {
        let line = format!("{unshare} sh -c '{mounted} && exec \"$TIDINGS\" {arguments}'");
        let line = failure_line(&mut shell(directory.path(), &line)).await;
        assert!(line.contains("tidings.db cannot be written: its file system is read-only"), "{line}");
    }
}

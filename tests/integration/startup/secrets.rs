//! Secrets that are damaged, too short, or in files.

use std::fs;

use super::{failure_line, output, success_output, tidings};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Anybody could sign tokens with a guessable remainder of a secret.
#[tokio::test]
async fn a_damaged_secret_file_stops_every_command_that_opens_the_database() {
    let directory = tempfile::tempdir().expect("a directory");
    success_output(&mut tidings(directory.path(), &["user", "add", "root", "--admin"])).await;
    let file = directory.path().join("tidings.secret");
    let whole = fs::read_to_string(&file).expect("the secret");
    let damaged = ["t".into(), whole[..4].to_owned(), format!("{whole}{whole}"), whole[..40].to_owned(), "\n".into()];
    for damaged in damaged {
        fs::write(&file, &damaged).expect("a file");
        for arguments in [&["serve"][..], &["token", "root"], &["user", "list"]] {
            let line = failure_line(&mut tidings(directory.path(), arguments)).await;
            assert!(line.contains("tidings.secret is damaged"), "{line}");
            assert!(!line.contains(&whole[..10]), "{line}");
        }
    }
    fs::write(&file, whole.trim_end().to_owned() + "\r\n").expect("a file");
    success_output(&mut tidings(directory.path(), &["token", "root"])).await;
}

#[tokio::test]
async fn invalid_secrets_are_rejected_in_variables_and_in_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("given");
    for (variable, bad, message) in [
        ("TIDINGS_JWT_SECRET", "hunter2", "has 7 bytes"),
        ("TIDINGS_JWT_SECRET", &KEY[1..], "has 31 bytes"),
        ("TIDINGS_JWT_SECRET", "  \n", "is empty"),
        ("TIDINGS_METRICS_TOKEN", "hunter2", "is too short"),
        ("TIDINGS_METRICS_TOKEN", "0123456789\nabcdef", "cannot be sent in a header"),
    ] {
        let line = failure_line(tidings(directory.path(), &["serve"]).env(variable, bad)).await;
        assert!(line.starts_with(&format!("{variable}: {message}")) && !line.contains("hunter2"), "{line}");
        fs::write(&file, bad).expect("a file");
        let variable = format!("{variable}_FILE");
        let line = failure_line(tidings(directory.path(), &["serve"]).env(&variable, &file)).await;
        assert!(line.starts_with(&format!("{variable}: {} {message}", file.display())), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
    }
    fs::write(&file, "mysql://root:hunter2@h/x").expect("a file");
    let line = failure_line(tidings(directory.path(), &["migrate"]).env("DATABASE_URL_FILE", &file)).await;
    assert!(line.starts_with("DATABASE_URL_FILE: ") && !line.contains("hunter2"), "{line}");
}

/// Docker, Kubernetes and systemd mount secrets as files, often with a final newline.
#[tokio::test]
async fn settings_in_files_equal_settings_in_variables() {
    let directory = tempfile::tempdir().expect("a directory");
    let (secret, url) = (directory.path().join("jwt"), directory.path().join("url"));
    fs::write(&secret, format!("{KEY}\n")).expect("a file");
    fs::write(&url, "sqlite://other.db\n").expect("a file");
    let in_files = |arguments: &[&str]| {
        let mut command = tidings(directory.path(), arguments);
        command.env("DATABASE_URL_FILE", &url).env("TIDINGS_JWT_SECRET_FILE", &secret);
        command
    };
    success_output(&mut in_files(&["user", "add", "eva"])).await;
    assert!(directory.path().join("other.db").exists(), "the URL in the file is used");
    let token = success_output(&mut in_files(&["token", "eva"])).await;
    let tokens = tidings::auth::Tokens::new(
        KEY.as_bytes(),
        std::time::Duration::from_secs(1),
        std::time::Duration::from_secs(1),
    );
    tokens
        .verify(token.trim(), tidings::model::Timestamp::now())
        .expect("the token is signed with the key without its newline");
    // If both variables are set, the program does not guess which one is meant.
    for (variable, value) in [("TIDINGS_JWT_SECRET", KEY), ("DATABASE_URL", "sqlite://third.db")] {
        let line = failure_line(in_files(&["token", "eva"]).env(variable, value)).await;
        assert_eq!(line, format!("{variable} and {variable}_FILE are both set: keep one of them"));
    }
    for missing in ["/no/such/file", "/", ""] {
        let line = failure_line(in_files(&["token", "eva"]).env("TIDINGS_JWT_SECRET_FILE", missing)).await;
        assert!(line.starts_with(&format!("TIDINGS_JWT_SECRET_FILE: {missing}")), "{line}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn secret_and_database_files_are_private_and_wider_modes_are_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;
    for arguments in [&["user", "add", "eva"][..], &["demo"], &["migrate"]] {
        let directory = tempfile::tempdir().expect("a directory");
        let line = format!("umask 000; exec \"$TIDINGS\" {}", arguments.join(" "));
        success_output(&mut super::shell(directory.path(), &line)).await;
        for entry in fs::read_dir(directory.path()).expect("a directory").flatten() {
            let mode = entry.metadata().expect("a file").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{arguments:?} made {:?}", entry.file_name());
        }
        if arguments != ["user", "add", "eva"] {
            continue;
        }
        for (name, message) in [("tidings.db", "private texts"), ("tidings.secret", "forge tokens")] {
            let file = directory.path().join(name);
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a mode");
            let output = output(&mut tidings(directory.path(), &["user", "list"])).await;
            let log = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && log.contains(name) && log.contains(message), "{log}");
            let mode = fs::metadata(&file).expect("a file").permissions().mode() & 0o777;
            assert_eq!(mode, 0o644, "the mode that an operator has set is kept");
        }
    }
}

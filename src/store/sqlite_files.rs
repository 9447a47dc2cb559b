//! The SQLite database file and its `-wal` and `-shm` files: access checks at start, and detection of replaced
//! files.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

/// Identity of a file, independent of its path: device number and inode number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(u64, u64);

impl FileId {
    /// The identity of the file at this path; `None` if there is none.
    #[cfg(unix)]
    pub fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(path).ok().map(|file| Self(file.dev(), file.ino()))
    }

    #[cfg(not(unix))]
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|_| Self(0, 0))
    }
}

/// The path of a file that SQLite keeps beside the database. `suffix` is `-wal` or `-shm`.
pub fn sidecar(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(OsStr::new(suffix));
    name.into()
}

/// Checks that this process can read and write the database and its directory. If there is no database, creates
/// an empty file that only its owner can read. SQLite would create it readable for everybody, and gives the
/// `-wal` and `-shm` files the same mode.
///
/// # Errors
/// One line for the operator that names the file and what to do. Without this check, SQLite would silently open
/// a write-protected file as read-only.
pub fn prepare_file(database: &Path) -> Result<(), String> {
    let directory = match database.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match std::fs::metadata(database) {
        Ok(file) if !file.is_file() => Err(format!("{} is no regular file: name a regular file", database.display())),
        Ok(file) => {
            check_access(database, Access::READ_OK | Access::WRITE_OK)?;
            for sidecar in ["-wal", "-shm"].map(|suffix| sidecar(database, suffix)) {
                if sidecar.exists() {
                    check_access(&sidecar, Access::READ_OK | Access::WRITE_OK)?;
                }
            }
            check_access(directory, Access::WRITE_OK | Access::EXEC_OK)?;
            warn_if_world_readable(database, &file);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if !directory.is_dir() {
                return Err(format!(
                    "the directory {} does not exist: create it, or name another one",
                    directory.display()
                ));
            }
            check_access(directory, Access::WRITE_OK | Access::EXEC_OK)?;
            match create_private(database) {
                // `AlreadyExists` means that another process created the file at the same time.
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    Err(format!("{} cannot be created: {error}", database.display()))
                }
                _ => Ok(()),
            }
        }
        Err(error) => Err(format!("{} cannot be opened: {error}", database.display())),
    }
}

fn check_access(path: &Path, access: Access) -> Result<(), String> {
    let Err(error) = rustix::fs::access(path, access) else { return Ok(()) };
    let shown = path.display();
    Err(match std::io::Error::from(error).kind() {
        ErrorKind::ReadOnlyFilesystem => {
            format!(
                "{shown} cannot be written: its file system is read-only. Mount it writable, or name a file elsewhere"
            )
        }
        ErrorKind::PermissionDenied => {
            format!("{shown} cannot be read and written by this process{}", owner_advice(path))
        }
        _ => format!("{shown} cannot be used: {error}"),
    })
}

#[cfg(unix)]
fn owner_advice(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let process_user = rustix::process::getuid().as_raw();
    match std::fs::metadata(path).map(|file| file.uid()) {
        Ok(owner) if owner == process_user => format!(": `chmod u+rw {}`", path.display()),
        Ok(owner) => {
            let path = path.display();
            format!(
                ", which runs as user {process_user}: the file belongs to user {owner}. \
                 Run `chown {process_user} {path}`, or run the server as that user"
            )
        }
        Err(_) => String::new(),
    }
}

#[cfg(not(unix))]
fn owner_advice(_: &Path) -> String {
    String::new()
}

#[cfg(unix)]
fn create_private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Warns if every user of the machine can read the database. Does not change its mode: the operator may have
/// chosen it.
#[cfg(unix)]
fn warn_if_world_readable(database: &Path, file: &Metadata) {
    use std::os::unix::fs::PermissionsExt as _;
    if file.permissions().mode() & 0o004 != 0 {
        tracing::warn!(
            path = %database.display(),
            "every user of this machine can read the database, including private texts and password hashes: run \
             `chmod o-rwx` on the file, and on the files beside it that end with -wal and -shm"
        );
    }
}

#[cfg(not(unix))]
fn warn_if_world_readable(_: &Path, _: &Metadata) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_database_is_private_and_unusable_paths_are_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        prepare_file(&path).unwrap();
        prepare_file(&path).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(prepare_file(directory.path()).unwrap_err().contains("no regular file"));
        assert!(prepare_file(&directory.path().join("none/t.db")).unwrap_err().contains("does not exist"));
        assert!(prepare_file(&path.join("t.db")).is_err(), "below a file");
    }

    #[test]
    fn a_replaced_file_has_another_identity() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("t.db"), directory.path().join("moved"));
        prepare_file(&path).unwrap();
        let first = FileId::of(&path);
        std::fs::rename(&path, &moved).unwrap();
        assert_eq!(FileId::of(&path), None);
        std::fs::copy(&moved, &path).unwrap();
        assert_ne!(FileId::of(&path), first);
        std::fs::rename(&moved, &path).unwrap();
        assert_eq!(FileId::of(&path), first);
    }
}

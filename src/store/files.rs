//! The SQLite file and those beside it: whether this process may use them, and whether they are still the same ones.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

/// Which file a path leads to, whatever its name: the device and the number of the file on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(u64, u64);

impl FileId {
    /// Of the file at this path; `None` if there is none.
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

/// The file that SQLite keeps beside a database: `-wal` or `-shm`.
pub fn sidecar(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(OsStr::new(suffix));
    name.into()
}

/// Checks that SQLite will be able to read and write the database, and makes an empty file for its owner alone if there
/// is none: SQLite would let everybody read it, and gives the files beside it the same mode.
///
/// # Errors
/// One line that names the file and says what to do. SQLite itself opens what it cannot write for reading only.
pub fn prepare_file(database: &Path) -> Result<(), String> {
    let directory = match database.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match std::fs::metadata(database) {
        Ok(file) if !file.is_file() => Err(format!("{} is no regular file: name a file", database.display())),
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
                return Err(format!("the directory {} does not exist: make it, or name another", directory.display()));
            }
            check_access(directory, Access::WRITE_OK | Access::EXEC_OK)?;
            match create_private(database) {
                // Another process was quicker.
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    Err(format!("{} cannot be made: {error}", database.display()))
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

/// Existing files keep their mode, which an operator may have chosen for a group.
#[cfg(unix)]
fn warn_if_world_readable(database: &Path, file: &Metadata) {
    use std::os::unix::fs::PermissionsExt as _;
    if file.permissions().mode() & 0o004 != 0 {
        let path = database.display();
        tracing::warn!(
            "every user of this machine may read {path}, with private texts and hashes of passwords: \
             `chmod o-rwx {path} {path}-wal {path}-shm`"
        );
    }
}

#[cfg(not(unix))]
fn warn_if_world_readable(_: &Path, _: &Metadata) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_made_for_its_owner_and_what_is_none_is_refused() {
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
    fn another_file_of_the_same_name_is_another() {
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

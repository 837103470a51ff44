//! The folder of the copies, which belongs to one process. Everything here blocks.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use burgee_core::store::EnvironmentRef;

const LOCK: &str = "lock";
const CONFIRMATIONS: &str = "confirmed";
const COPY: &str = "copy";
/// What a file is called until it is whole.
const UNFINISHED: &str = "unfinished";

/// A folder that is locked for this process.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// The lock goes with the file, also when the process is killed.
    _lock: File,
}

impl Folder {
    /// Makes the folder if there is none, locks it, and removes what a former process did not finish.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let lock = private().truncate(false).open(path.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another process uses it"),
            TryLockError::Error(error) => error,
        })?;
        for entry in fs::read_dir(path)? {
            let file = entry?.path();
            if file.extension().is_some_and(|extension| extension == UNFINISHED) {
                fs::remove_file(file)?;
            }
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Returns the files of copies.
    pub(super) fn copies(&self) -> io::Result<Vec<PathBuf>> {
        let mut copies = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == COPY) {
                copies.push(path);
            }
        }
        Ok(copies)
    }

    /// Returns where the copy of an environment is.
    pub(super) fn copy(&self, environment: EnvironmentRef) -> PathBuf {
        self.path.join(format!("{}.{COPY}", environment.0))
    }

    /// Returns where the list is of what was confirmed.
    pub(super) fn confirmations(&self) -> PathBuf {
        self.path.join(CONFIRMATIONS)
    }

    /// Writes a file as a whole: whoever reads it finds the former content or the new one.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let unfinished = path.with_extension(UNFINISHED);
        let mut file = private().truncate(true).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    }

    /// Makes durable which files there are.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Removes a file, if there is one.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Returns how files are opened for writing: nobody else may read them.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_belongs_to_one_process_and_to_nobody_else() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let folder = Folder::open(&path).unwrap();
        assert_eq!(Folder::open(&path).unwrap_err().to_string(), "another process uses it");
        let file = folder.copy(EnvironmentRef(1));
        folder.write(&file, b"first").unwrap();
        folder.write(&file, b"second").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"second");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&file)), (0o700, 0o600));
        fs::write(path.join("9.unfinished"), b"half").unwrap();
        drop(folder);
        let folder = Folder::open(&path).unwrap();
        assert_eq!(folder.copies().unwrap(), [file]);
        assert!(!path.join("9.unfinished").exists());
    }
}

//! The writer's guard: one host per data directory (law 5).
//!
//! Owns the lock file. Readers (`replay`, `verify`) never take it, so they work meanwhile.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(25);

/// The lock of a data directory, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

fn path(data: &Path) -> PathBuf {
    data.join("lock")
}

impl Lock {
    /// Takes the lock, or says who to stop.
    pub fn take(data: &Path) -> Result<Self, String> {
        let path = path(data);
        let open =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = open.map_err(|e| format!("{}: {e}", path.display()))?;
        match patiently(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = std::fs::read_to_string(&path).unwrap_or_default();
                let holder = match holder.trim() {
                    "" => String::new(),
                    pid => format!(" (process {pid})"),
                };
                return Err(format!(
                    "another foldlog{holder} serves {}: stop it, or serve another directory with --data",
                    data.display()
                ));
            }
            Err(TryLockError::Error(e)) => return Err(format!("{}: {e}", path.display())),
        }
        // Only the lock counts; the number is for people, so failing to write it is no reason to stop.
        let _ = file.set_len(0);
        let _ = writeln!(file, "{}", std::process::id());
        Ok(Self { file })
    }

    /// Whether some host serves the directory now.
    pub fn held(data: &Path) -> bool {
        let Ok(file) = File::open(path(data)) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}

/// A reader that asks whether the lock is held holds it for an instant itself.
fn patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            result => return result,
        }
    }
    file.try_lock()
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The file stays: removing it would let two hosts lock two files of the same name.
        let _ = self.file.set_len(0);
    }
}

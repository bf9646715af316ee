//! The secret that the keys of consumers are made from, when none is set (law 7).
//!
//! Owns the file `secret` of a data directory: it is made once, before any log of the directory,
//! and only this user may read it. Refuses to know what is made from it.
//!
//! Invariant: a secret that was used is never replaced. One that can not be read stops the start,
//! since another would silently make every consumer's key another.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use foldlog_core::chain::hex;
use foldlog_core::settings::Secret;

use crate::owner;
use crate::world::entropy;

/// The secret of a data directory, made if there is none yet.
pub fn of(data: &Path) -> Result<Secret, String> {
    let path = data.join("secret");
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let secret = Secret::new(text.trim_end()).filter(|_| text.trim_end().len() >= 32);
            secret.ok_or_else(|| {
                format!("{} does not hold a secret that foldlog made", path.display())
            })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let made = hex(&[entropy(), entropy()].concat());
            let new = path.with_extension("new");
            let mut file = private(&new).map_err(failed)?;
            writeln!(file, "{made}").and_then(|()| file.sync_all()).map_err(failed)?;
            std::fs::rename(&new, &path).map_err(failed)?;
            owner::sync_directory(&path)?;
            Secret::new(&made).ok_or_else(|| "a secret could not be made".to_string())
        }
        Err(error) => Err(failed(error)),
    }
}

/// A new file that nobody else can open, not even before something is in it.
fn private(path: &Path) -> std::io::Result<File> {
    // What an interrupted start left may have been made with other rights.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_for_this_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        // What a start left that was cut off.
        std::fs::write(directory.path().join("secret.new"), "half").unwrap();
        let made = of(directory.path()).unwrap();
        assert_eq!(made.reveal().len(), 64);
        assert_eq!(of(directory.path()).unwrap(), made);
        let file = directory.path().join("secret");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!directory.path().join("secret.new").exists());
        let another = tempfile::tempdir().unwrap();
        assert_ne!(of(another.path()).unwrap(), made);
    }

    #[test]
    fn a_secret_that_is_lost_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        for text in ["", "\n", "short\n", &format!("{}ä\n", "0".repeat(64))] {
            std::fs::write(&file, text).unwrap();
            let told = of(directory.path()).unwrap_err();
            assert!(told.contains("does not hold a secret"), "{told}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
    }
}

//! Python with a package of PyPI's: foreign readers of what we write.
//!
//! Owns installing them, each at one version below `target`. Refuses to know what they are asked.

use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::scratch::target;

/// Python that finds a package, `name==version`, which is installed if it is not there.
///
/// # Panics
/// When it can not be installed.
pub fn with(package: &str) -> Command {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = format!("python-{}", package.replace("==", "-"));
    let installed = target().join(&folder);
    if !installed.exists() {
        // Moved when it is complete: an interrupted installation is begun anew.
        let new = target().join(format!("{folder}.new"));
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]);
        let output = pip.arg("--target").arg(&new).arg(package).output();
        let output = output.unwrap_or_else(|e| panic!("{pip:?}: {e}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::rename(&new, &installed).unwrap_or_else(|e| panic!("{}: {e}", installed.display()));
    }
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", installed);
    python
}

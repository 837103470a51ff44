//! Programs that tests need and that are not Rust: found, or installed below `target/tools`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The version of buf that CI uses, too.
const BUF: &str = "1.75.0";

/// Returns the folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package is in the workspace").to_owned()
}

/// Returns the path of `buf`, a client of gRPC that we did not write; installs it with npm if need be.
pub fn buf() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let folder = workspace().join("target/tools");
        let path = folder.join("node_modules/.bin/buf");
        let found = Command::new(&path).arg("--version").output();
        if !found.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == BUF) {
            let installed = Command::new("npm")
                .args(["install", "--silent", "--no-fund", "--no-audit", "--no-save", "--prefix"])
                .arg(&folder)
                .arg(format!("@bufbuild/buf@{BUF}"))
                .status()
                .expect("npm is needed to install buf");
            assert!(installed.success(), "npm could not install buf");
        }
        path
    })
}

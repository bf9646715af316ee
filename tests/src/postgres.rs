//! A PostgreSQL server of the tests' own: Debian's, in a temporary directory, behind a Unix socket.
//!
//! Owns starting it, once for a test process, and its end: a shell holds it and waits for this
//! process to go away, however that happens. Refuses to know what is stored.
//!
//! Where there is no PostgreSQL a test that needs one says so past libtest's capture, and leaves a
//! line in `target/skipped`, which `make test` counts. It is the only thing that is ever skipped.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::scratch::target;

/// Makes a cluster, serves it until standard input ends, and removes it.
const SERVE: &str = r#"trap "" INT
umask 077
"$0/initdb" -D "$1/data" -U foldlog -A trust -E UTF8 --locale=C >"$1/log" 2>&1 || exit 1
"$0/postgres" -D "$1/data" -k "$1" -c listen_addresses= -c max_connections=120 >>"$1/log" 2>&1 &
cat >/dev/null
kill -QUIT $!
wait
cd / && rm -rf "$1""#;
const START_MAX: Duration = Duration::from_secs(60);

struct Server {
    programs: PathBuf,
    socket: PathBuf,
    /// Dropped with the process, which closes its standard input.
    _shell: Child,
}

/// An empty database.
#[derive(Debug)]
pub struct Database {
    name: String,
    programs: PathBuf,
    socket: PathBuf,
}

/// An empty database for a test; `None`, and told, where there is no PostgreSQL.
pub fn database(test: &str) -> Option<Database> {
    static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let server = match SERVER.get_or_init(start) {
        Ok(server) => server,
        Err(why) => {
            skipped(test, why);
            return None;
        }
    };
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let (programs, socket) = (server.programs.clone(), server.socket.clone());
    let admin = Database { name: "postgres".into(), programs, socket };
    admin.sql(&format!("CREATE DATABASE t{n}"));
    Some(Database { name: format!("t{n}"), ..admin })
}

/// Says it where it is seen.
fn skipped(test: &str, why: &str) {
    let line = format!("SKIPPED {test}: {why}");
    // The macros are what libtest captures.
    let _ = writeln!(std::io::stderr(), "{line}");
    let list = File::options().create(true).append(true).open(target().join("skipped"));
    let _ = list.and_then(|mut list| writeln!(list, "{line}"));
}

/// Where the server's programs are.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).find(|dir| dir.join("initdb").exists());
    let found = found.and_then(|dir| fs::canonicalize(dir.join("initdb")).ok());
    if let Some(dir) = found.as_deref().and_then(Path::parent) {
        return Some(dir.to_path_buf());
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .map(|version| version.path().join("bin"))
        .filter(|dir| dir.join("initdb").exists())
        .max()
}

fn id(of: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([of, user]).stderr(Stdio::null()).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

fn start() -> Result<Server, String> {
    let programs = programs().ok_or("there is no PostgreSQL (`make postgres` installs it)")?;
    // A socket's path is short.
    let socket = std::env::temp_dir().join(format!("foldlog-pg-{}", std::process::id()));
    fs::create_dir_all(&socket).map_err(|e| format!("{}: {e}", socket.display()))?;
    let mut shell = Command::new("sh");
    shell.args(["-c", SERVE]).arg(&programs).arg(&socket).current_dir("/");
    if rustix::process::geteuid().is_root() {
        // It refuses to serve as root.
        let user = ["postgres", "nobody"].into_iter().find(|user| id("-u", user).is_some());
        let user = user.ok_or("there is no user to run it as")?;
        let ids = id("-u", user).zip(id("-g", user));
        let (uid, gid) = ids.ok_or("there is no user to run it as")?;
        chown(&socket, Some(uid), Some(gid)).map_err(|e| format!("{}: {e}", socket.display()))?;
        shell.uid(uid).gid(gid);
    }
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut shell = shell.spawn().map_err(|e| format!("it does not start: {e}"))?;
    let admin =
        Database { name: "postgres".into(), programs: programs.clone(), socket: socket.clone() };
    let until = Instant::now() + START_MAX;
    while admin.try_sql("SELECT 1").is_err() {
        let ended = shell.try_wait().ok().flatten();
        if ended.is_some() || Instant::now() > until {
            let log = fs::read_to_string(socket.join("log")).unwrap_or_default();
            return Err(format!("it does not start (ended: {ended:?}): {log}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(Server { programs, socket, _shell: shell })
}

impl Database {
    /// What `serve --store` takes.
    pub fn url(&self) -> String {
        let host = self.socket.to_string_lossy().replace('/', "%2F");
        format!("postgres://foldlog@{host}/{}", self.name)
    }

    /// One of the server's programs, on this database.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.arg("-h").arg(&self.socket).args(["-U", "foldlog", "-d", &self.name]);
        command
    }

    /// Rows of a query: columns divided by `|`, one row a line.
    ///
    /// # Panics
    /// When the database refuses it.
    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// The same, or what the database says.
    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        let mut psql = self.program("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let output = psql.stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_string())
    }

    /// Ends the sessions of a process, all or those whose name ends so; returns how many.
    pub fn end_sessions(&self, process: u32, partition: &str) -> usize {
        let of = format!("foldlog (process {process}){partition}");
        let ended = self.sql(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name LIKE '{of}'"
        ));
        ended.lines().filter(|line| *line == "t").count()
    }
}

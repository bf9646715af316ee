//! Hosts under test: starting them, waiting until they answer, killing them, starting them again.
//!
//! Owns processes, their directories and ports. Refuses to know what is expected of an answer.
//! A host whose binary is missing fails the test and says which make target builds it.

mod commands;
mod in_process;

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub use commands::{native_binary, native_command};
pub use in_process::{BODY_BYTES_MAX, InProcess, feed};

use crate::client::{Answer, Client, Request};
use crate::scratch::{Scratch, free_port};

/// How long a host may take until it answers.
const START_MAX: Duration = Duration::from_secs(60);

/// Which host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Linked into the test.
    InProcess,
    /// `foldlog serve`.
    Native,
    /// The Worker on workerd.
    Worker,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::InProcess, Self::Native, Self::Worker];
    /// Those that are processes of their own.
    pub const PROCESSES: [Self; 2] = [Self::Native, Self::Worker];
}

/// What hosts with test stamps make consumers' keys from.
pub const SECRET: &str = "a-secret-of-tests-alone";

/// What a host is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Which host.
    pub kind: Kind,
    /// Seed of test stamps.
    pub stamps: Option<String>,
    /// Settings as `(flag, variable, value)`: the flag for the native host, the variable for the
    /// Worker.
    pub settings: Vec<(&'static str, &'static str, String)>,
    /// Settings that both take from the environment, by the same name.
    pub environment: Vec<(&'static str, String)>,
    /// Flags that say where the native host keeps logs; none: in the data directory.
    pub place: Vec<String>,
    /// Another guest than build/guest.wasm.
    pub guest: Option<PathBuf>,
    /// A partition of the native host whose file is on a disk of its own of so many bytes: in
    /// memory, and gone with the process.
    pub disk: Option<(&'static str, u64)>,
}

impl Setup {
    /// With real stamps.
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            stamps: None,
            settings: Vec::new(),
            environment: Vec::new(),
            place: Vec::new(),
            guest: None,
            disk: None,
        }
    }

    /// With stamps that follow from the log, and a secret that all of them have.
    pub fn stamped(kind: Kind) -> Self {
        let environment = vec![("FOLDLOG_SECRET", SECRET.to_string())];
        Self { stamps: Some("seed".into()), environment, ..Self::new(kind) }
    }

    /// Adds a setting.
    #[must_use]
    pub fn set(mut self, flag: &'static str, variable: &'static str, value: impl ToString) -> Self {
        self.settings.push((flag, variable, value.to_string()));
        self
    }

    /// Adds what both take from the environment.
    #[must_use]
    pub fn environment(mut self, name: &'static str, value: impl ToString) -> Self {
        self.environment.push((name, value.to_string()));
        self
    }

    /// Starts it, on an empty directory.
    pub fn start(self) -> Host {
        Host::start(self)
    }
}

/// A running host.
#[derive(Debug)]
pub struct Host {
    setup: Setup,
    running: Running,
    // Dropped last: whoever writes there is gone by then.
    dir: Scratch,
}

#[derive(Debug)]
enum Running {
    Here(Box<InProcess>),
    Process { child: Child, address: SocketAddr, client: Box<Client> },
}

impl Host {
    fn start(setup: Setup) -> Self {
        let dir = Scratch::new(&format!("{:?}", setup.kind).to_lowercase());
        let running = match setup.kind {
            Kind::InProcess => {
                let seed = setup.stamps.as_deref().unwrap_or("seed");
                Running::Here(Box::new(InProcess::new(seed)))
            }
            Kind::Native | Kind::Worker => {
                let data = dir.path().join("data");
                fs::create_dir_all(&data).unwrap_or_else(|e| panic!("{}: {e}", data.display()));
                spawn(&setup, dir.path())
            }
        };
        Self { setup, running, dir }
    }

    /// Which host it is.
    pub const fn kind(&self) -> Kind {
        self.setup.kind
    }

    /// The data directory; it outlives restarts.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Where it listens.
    ///
    /// # Panics
    /// When it is no process.
    pub fn address(&self) -> SocketAddr {
        match &self.running {
            Running::Process { address, .. } => *address,
            Running::Here(_) => panic!("the host in process listens nowhere"),
        }
    }

    /// A client with its own connection.
    pub fn client(&self) -> Client {
        Client::new(self.address())
    }

    /// Sends a request over the host's own connection.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn send(&mut self, request: &Request) -> Answer {
        let kind = self.kind();
        match &mut self.running {
            Running::Here(host) => host.send(request),
            Running::Process { client, .. } => client.send(request).unwrap_or_else(|error| {
                panic!(
                    "{kind:?}: {} {}: no answer: {error}\n{}",
                    request.method,
                    request.target,
                    self.log()
                )
            }),
        }
    }

    /// `GET`.
    pub fn get(&mut self, target: &str) -> Answer {
        self.send(&Request::get(target))
    }

    /// `POST` of JSON.
    pub fn post(&mut self, target: &str, body: &str) -> Answer {
        self.send(&Request::post(target, body))
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill_9(&mut self) {
        if let Running::Process { child, client, .. } = &mut self.running {
            client.close();
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits until it is gone; false when it had to be killed.
    pub fn stop(&mut self) -> bool {
        let Running::Process { child, client, .. } = &mut self.running else { return true };
        client.close();
        let _ = Command::new("kill").arg(child.id().to_string()).status();
        let until = Instant::now() + Duration::from_secs(15);
        while Instant::now() < until {
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill_9();
        false
    }

    /// Starts it again on the same data, after it was killed or stopped.
    pub fn restart(&mut self) {
        self.kill_9();
        if self.kind() != Kind::InProcess {
            self.running = spawn(&self.setup, self.dir.path());
        }
    }

    /// The same with something else in its environment.
    pub fn restart_where(&mut self, name: &'static str, value: impl ToString) {
        self.setup.environment.retain(|(other, _)| *other != name);
        self.setup.environment.push((name, value.to_string()));
        self.restart();
    }

    /// The same with another guest.
    pub fn restart_with(&mut self, guest: PathBuf) {
        self.setup.guest = Some(guest);
        self.restart();
    }

    /// The process id.
    pub fn pid(&self) -> Option<u32> {
        match &self.running {
            Running::Process { child, .. } => Some(child.id()),
            Running::Here(_) => None,
        }
    }

    /// The most memory that the process ever had, as the system tells it.
    pub fn memory_peak(&self) -> String {
        let Running::Process { child, .. } = &self.running else { return String::new() };
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.unwrap_or(" not told").trim().to_string()
    }

    /// All that it printed.
    pub fn whole_log(&self) -> String {
        let log = fs::read(self.dir.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The end of what it printed.
    pub fn log(&self) -> String {
        tail(&self.dir.path().join("log"))
    }

    /// The one SQLite file with a log in it.
    ///
    /// # Panics
    /// When there is not exactly one: the test wrote to one partition only.
    pub fn sqlite(&self) -> PathBuf {
        let mut found = Vec::new();
        find_sqlite(&self.data(), &mut found);
        assert_eq!(found.len(), 1, "SQLite files below {}: {found:?}", self.data().display());
        found.remove(0)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}, the end of its output:\n{}", self.kind(), self.log());
        }
        self.kill_9();
    }
}

/// Runs the native binary with these arguments and waits for its end.
///
/// # Panics
/// When it can not be started.
pub fn foldlog<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Output {
    foldlog_where(arguments, &[])
}

/// The same with this in its environment.
///
/// # Panics
/// When it can not be started.
pub fn foldlog_where<S: AsRef<std::ffi::OsStr>>(
    arguments: &[S],
    environment: &[(&str, String)],
) -> Output {
    let mut command = native_command();
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.args(arguments).stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("foldlog did not start: {error}"))
}

/// All files below a directory that start as a SQLite database with a table `log` does.
fn find_sqlite(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find_sqlite(&path, found);
            continue;
        }
        let mut start = [0; 16];
        let read =
            File::open(&path).and_then(|mut file| io::Read::read_exact(&mut file, &mut start));
        let sqlite = read.is_ok() && start == *b"SQLite format 3\0";
        // workerd keeps alarms of the namespace in a file of its own.
        if sqlite && !path.ends_with("metadata.sqlite") {
            found.push(path);
        }
    }
}

fn tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let start = text.len().saturating_sub(4_000);
    String::from_utf8_lossy(&text[start..]).into_owned()
}

/// Starts the process and waits until it answers `/health`.
fn spawn(setup: &Setup, dir: &Path) -> Running {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let mut command = match setup.kind {
        Kind::Native => commands::native(setup, dir, address),
        _ => commands::worker(setup, dir, address),
    };
    // What belongs to whoever runs the tests has no place in them.
    for name in [
        "SENDGRID_API_KEY",
        "SENDGRID_URL",
        "EMAIL_FROM",
        "FOLDLOG_SECRET",
        "FOLDLOG_STORE",
        "ALLOW_PRIVATE_CALLBACKS",
    ] {
        command.env_remove(name);
    }
    command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
    if let Some((partition, bytes)) = setup.disk {
        command = on_disk_of(bytes, partition, &dir.join("data"), &command);
    }
    let log_path = dir.join("log");
    let log = File::options().create(true).append(true).open(&log_path);
    let log = log.unwrap_or_else(|e| panic!("{}: {e}", log_path.display()));
    let copy = log.try_clone().unwrap_or_else(|e| panic!("{e}"));
    command.stdin(Stdio::null()).stdout(log).stderr(copy);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let until = Instant::now() + START_MAX;
    let mut client = Client::new(address).timeout(START_MAX);
    while client.send(&Request::get("/health")).is_err() {
        let ended = child.try_wait().ok().flatten();
        assert!(
            ended.is_none() && Instant::now() < until,
            "{:?} does not answer (ended: {ended:?}): {command:?}\n{}",
            setup.kind,
            tail(&log_path)
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    Running::Process { child, address, client: Box::new(Client::new(address)) }
}

/// The same process with a small disk, which nobody else sees, for the file of one partition.
fn on_disk_of(bytes: u64, partition: &str, data: &Path, command: &Command) -> Command {
    let (disk, file) = (data.join("small"), data.join(format!("{partition}.sqlite")));
    fs::create_dir_all(&disk).unwrap_or_else(|e| panic!("{}: {e}", disk.display()));
    let _ = fs::remove_file(&file);
    std::os::unix::fs::symlink(disk.join("log.sqlite"), &file)
        .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut small = Command::new("unshare");
    small.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    small.arg(format!("mount -t tmpfs -o size={bytes} tmpfs \"$0\" && exec \"$@\""));
    small.arg(disk).arg(command.get_program()).args(command.get_args());
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    small.envs(set);
    small
}

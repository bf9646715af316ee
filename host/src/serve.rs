//! `foldlog serve`: puts the parts together, and takes them apart again in order.
//!
//! Owns start and stop. Order at the stop: no new connections, requests under way, partitions
//! with their checkpoints, the lock.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use foldlog_core::chain::hex;
use foldlog_core::driver::Spawn;
use foldlog_core::settings::{HostKind, Settings};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::attempts::Sender;
use crate::cli::{Serve, print};
use crate::deliveries::Deliveries;
use crate::http::Server;
use crate::metrics::Metrics;
use crate::outgoing::Client;
use crate::partitions::Partitions;
use crate::stores::Stores;
use crate::waker::Waker;
use crate::wasm::{BUILT_IN, Bounds, Module};
use crate::{log, shown, stores, trust};

/// Requests may need their deadline, and a little to be sent.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until it is told to stop.
pub fn run(serve: &Serve) -> Result<(), String> {
    log::init(serve.log_format);
    let mut settings = Settings::read(HostKind::Native, &mut |s| serve.settings.get(s))
        .map_err(|e| e.to_string())?;
    let copied = serve.source.as_ref().map(|source| shown::copy(source, &serve.partition));
    // Removed at the end.
    let copy = copied.transpose()?;
    if let Some(copy) = &copy {
        settings.data = copy.path().display().to_string();
    }
    let stores = place(serve, &mut settings)?;
    if settings.secret.is_none() {
        settings.secret = Some(stores.secret()?);
    }
    let bounds =
        Bounds { memory_max: settings.guest_memory_max, stage_ms_max: settings.stage_ms_max };
    let module = load(serve.guest.as_deref(), bounds)?;
    let guest = hex(&module.digest());
    more_files();
    let metrics = Arc::new(Metrics::new());
    let settings = Arc::new(settings);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .map_err(|e| format!("no threads to serve with: {e}"))?;
    let sender = sender(&runtime, &settings)?;
    let partitions =
        Partitions::new(stores.clone(), module, settings.clone(), metrics.clone(), sender);
    let partitions = Arc::new(partitions);
    let server = Arc::new(Server {
        partitions: partitions.clone(),
        metrics,
        body_bytes_max: settings.body_bytes_max,
        live_heartbeat: Duration::from_millis(settings.live_heartbeat_ms),
        live_stall: Duration::from_millis(settings.live_stall_ms),
        shown: copy.is_some(),
    });
    let mut waker = None;
    let served = runtime.block_on(async {
        let listen = &settings.listen;
        let listener = TcpListener::bind(listen).await;
        let listener = listener.map_err(|e| format!("can not listen on {listen}: {e}"))?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let stop = stop_signal()?;
        let (shown, held) = match &serve.source {
            Some(source) => (source.display().to_string(), ": held, reads only"),
            None => (stores.shown(), ""),
        };
        print(&format!("Foldlog serves {shown} at http://{address}{held}"));
        stores.remark().into_iter().for_each(print);
        log::info("serving")
            .with("address", address)
            .with("data", stores.shown())
            .with("guest", &guest)
            .write();
        let wakes = settings.test_stamps.is_none();
        waker = wakes.then(|| Waker::start(stores.clone(), &partitions)).flatten();
        let grace = Duration::from_millis(settings.deadline_ms) + GRACE;
        server.serve(listener, stop, grace).await;
        Ok(())
    });
    waker.into_iter().for_each(Waker::stop);
    partitions.close();
    // Looking up a name may take long, and nobody waits for it any more.
    runtime.shutdown_background();
    stores.release();
    log::info("stopped").write();
    served
}

/// Who makes calls to the outside, and deliveries.
fn sender(runtime: &Runtime, settings: &Arc<Settings>) -> Result<Sender, String> {
    let trusted = trust::tls(trust::file().as_deref())?;
    let deliveries = Deliveries::new(trusted.clone(), settings.allow_private_callbacks);
    let clients = (Client::new(trusted), deliveries);
    Ok(Sender::new(runtime.handle().clone(), clients, settings.clone()))
}

/// Every connection is a file to the system, and many live readers are more of them than it allows
/// unasked. What it does not grant is told when a connection can not be accepted.
fn more_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum {
            let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        }
    }
}

/// Where the logs are kept. What would be ignored is refused.
fn place(serve: &Serve, settings: &mut Settings) -> Result<Arc<dyn Stores>, String> {
    if serve.memory {
        if serve.settings.given("store") {
            return Err("--memory and --store name two places: leave one of them out".into());
        }
        settings.store = stores::MEMORY.into();
    }
    if !settings.store.is_empty() && serve.source.is_some() {
        return Err("--source shows a log from a copy of it: leave --store out".into());
    }
    if !settings.store.is_empty() && serve.settings.given("data") {
        return Err("--data is for logs in files: leave it out, or --memory and --store".into());
    }
    stores::choose(settings, serve.standby)
}

/// Threads for sockets; partitions have their own.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8))
}

/// The module named, or the one built in.
pub fn load(guest: Option<&Path>, bounds: Bounds) -> Result<Module, String> {
    match guest {
        None => Module::load(BUILT_IN, bounds),
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
            Module::load(&bytes, bounds).map_err(|e| format!("{}: {e}", path.display()))
        }
    }
}

/// Turns true at SIGTERM or SIGINT; the second one ends the process at once.
fn stop_signal() -> Result<watch::Receiver<bool>, String> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|e| format!("signals can not be handled: {e}"));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let mut signals = 0;
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            signals += 1;
            if signals > 1 {
                // Acknowledged data is stored already; only the checkpoint is skipped.
                log::warn("stopped at once").with("signal", name).write();
                std::process::exit(1);
            }
            log::info("stopping").with("signal", name).write();
            let _ = stop.send(true);
        }
    });
    Ok(stopped)
}

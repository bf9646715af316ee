//! A server that outside calls go to over TLS, with a certificate that nobody else's roots know.
//!
//! Owns an authority of its own, made anew each time. Refuses to know what is expected of a call:
//! to each it says 202, as SendGrid does.

use std::fs;
use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::receiver::{Heard, read};

#[derive(Default)]
struct Shared {
    heard: Mutex<Vec<Heard>>,
    /// Why connections broke off: of a caller that does not trust the certificate, its alert.
    broken: Mutex<Vec<String>>,
    ended: AtomicBool,
}

fn locked<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A listening server; dropping it ends it.
pub struct TlsReceiver {
    address: SocketAddr,
    authority: String,
    shared: Arc<Shared>,
}

impl TlsReceiver {
    /// Makes an authority and a certificate for `localhost`, and listens on a free port.
    ///
    /// # Panics
    /// When it can not.
    pub fn start() -> Self {
        let (authority, config) = certified().unwrap_or_else(|e| panic!("no certificate: {e}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.unwrap_or_else(|e| panic!("no receiver: {e}"));
        let address = listener.local_addr().unwrap_or_else(|e| panic!("no receiver: {e}"));
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.ended.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, config, Ok(stream)) = (of_thread.clone(), config.clone(), stream)
                else {
                    continue;
                };
                thread::spawn(move || {
                    if let Err(error) = serve(&shared, config, stream) {
                        locked(&shared.broken).push(error.to_string());
                    }
                });
            }
        });
        Self { address, authority, shared }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Writes the authority's certificate to a file, as PEM.
    ///
    /// # Panics
    /// When it can not.
    pub fn write_authority(&self, file: &Path) {
        fs::write(file, &self.authority).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }

    /// All that it heard, in order.
    pub fn heard(&self) -> Vec<Heard> {
        locked(&self.shared.heard).clone()
    }

    /// Why connections broke off.
    pub fn broken(&self) -> Vec<String> {
        locked(&self.shared.broken).clone()
    }
}

impl Drop for TlsReceiver {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// An authority's certificate, and a server's that it vouches for.
fn certified() -> Result<(String, Arc<ServerConfig>), Box<dyn std::error::Error>> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let server = CertificateParams::new(vec!["localhost".to_string()])?.signed_by(&key, &issuer)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![server.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der())?,
        )?;
    Ok((certificate.pem(), Arc::new(config)))
}

fn serve(shared: &Shared, config: Arc<ServerConfig>, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let session = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(session, stream));
    while let Some(heard) = read(&mut reader)? {
        locked(&shared.heard).push(heard);
        let stream = reader.get_mut();
        stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")?;
        stream.flush()?;
    }
    Ok(())
}

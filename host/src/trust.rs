//! Whose certificates are trusted: Mozilla's roots as built in, or those of one file.
//!
//! Owns how that file is named and read. Refuses to look for the system's own: which of its many
//! places counts is for whoever starts this host to say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Names the file, as OpenSSL and what goes by it have it.
pub const VARIABLE: &str = "SSL_CERT_FILE";

/// The file that the environment names, if it does.
pub fn file() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|file| !file.is_empty()).map(PathBuf::from)
}

/// TLS for calls: whoever is called shows a certificate that leads to one of the file's, or of the
/// built-in ones where there is none.
pub fn tls(file: Option<&Path>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS: {e}"))?;
    let builder = match file {
        None => builder.with_webpki_roots(),
        Some(file) => builder.with_root_certificates(roots(file)?),
    };
    Ok(builder.with_no_client_auth())
}

/// A file that is named and useless is an error: calls would fail one by one, much later.
fn roots(file: &Path) -> Result<RootCertStore, String> {
    let failed = |what: &str| format!("{VARIABLE} {}: {what}", file.display());
    let certificates = CertificateDer::pem_file_iter(file).map_err(|e| failed(&e.to_string()))?;
    let certificates: Result<Vec<_>, _> = certificates.collect();
    let certificates = certificates.map_err(|e| failed(&e.to_string()))?;
    let mut roots = RootCertStore::empty();
    // A bundle may have some that are no roots for us; the others count.
    let (taken, _) = roots.add_parsable_certificates(certificates);
    if taken > 0 {
        Ok(roots)
    } else {
        Err(failed("no certificate that can be trusted is in there"))
    }
}

//! TLS, with a certificate that can be replaced while connections are open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, Result};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use crate::settings::ServerOptions;

/// Makes connections secure. Clones have the same certificate.
#[derive(Clone)]
pub(crate) struct Acceptor {
    certificate: PathBuf,
    key: PathBuf,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Acceptor {
    pub(crate) fn new(options: &ServerOptions) -> Result<Self> {
        let (certificate, key) = options
            .tls_certificate
            .clone()
            .zip(options.tls_key.clone())
            .context("to listen for TLS, --tls-certificate and --tls-key are wanted")?;
        let current = Arc::new(RwLock::new(load(&certificate, &key)?));
        Ok(Self {
            certificate,
            key,
            current,
        })
    }

    /// The files that [`Self::reload`] reads.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        vec![self.certificate.clone(), self.key.clone()]
    }

    /// Has connections from now on use what the files say now.
    pub(crate) fn reload(&self) -> Result<()> {
        let config = load(&self.certificate, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(stream).await
    }
}

fn load(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("the certificate {}", certificate.display()))?;
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| format!("the key {}", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| {
            format!(
                "{} and {} don't belong together",
                certificate.display(),
                key.display()
            )
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

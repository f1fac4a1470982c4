//! A connection to the server of a swarm: over TLS, to the one server of the pass, and as its holder.

use crate::record::key::Hash;
use crate::swarm::error::SwarmError;
use crate::swarm::pass::Pass;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How long an answer of the server may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the server may be away while something is opened.
const LONG_PATIENCE: Duration = Duration::from_secs(60);
/// How long a server is tried that was never reached: it may be one that starts, or none.
const SHORT_PATIENCE: Duration = Duration::from_secs(15);
/// Time between two tries.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct Link {
    pub client: Client,
    pub jetstream: Context,
    pub pass: Pass,
}

impl Link {
    /// Connects as [`Link::connect`] does, also to a server that is just started again.
    pub async fn connect_patiently(
        url: &str,
        pass: Pass,
        tell: impl Fn(String) + Clone + Send + Sync + 'static,
    ) -> Result<Self, SwarmError> {
        let since = Instant::now();
        loop {
            match Self::connect(url, pass.clone(), tell.clone()).await {
                Err(SwarmError::Unreachable { .. }) if since.elapsed() < SHORT_PATIENCE => {
                    tokio::time::sleep(AGAIN).await;
                }
                connected => return connected,
            }
        }
    }

    /// Connects. A connection that breaks later is made again, for as long as it takes; `tell` hears of it.
    pub async fn connect(
        url: &str,
        pass: Pass,
        tell: impl Fn(String) + Clone + Send + Sync + 'static,
    ) -> Result<Self, SwarmError> {
        let address = url.strip_prefix("nats://").or_else(|| url.strip_prefix("tls://"));
        let address = address.filter(|address| !address.is_empty() && !address.contains(['@', '/', ',', ' ']));
        let address = format!("tls://{}", address.ok_or_else(|| SwarmError::Address(url.into()))?);
        let seed = pass.login()?.seed().map_err(SwarmError::server("a key"))?;
        let was_away = Arc::new(AtomicBool::new(false));
        let options = ConnectOptions::with_nkey(seed)
            .require_tls(true)
            .tls_client_config(to_one_server(pass.certificate)?)
            .custom_inbox_prefix(pass.inbox())
            .connection_timeout(PATIENCE)
            .request_timeout(Some(PATIENCE))
            .ignore_discovered_servers()
            .event_callback(move |event| {
                let (tell, was_away) = (tell.clone(), was_away.clone());
                async move { words(&event, &was_away).into_iter().for_each(&tell) }
            });
        let client = options.connect(&address).await.map_err(|error| match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                SwarmError::NotLetIn { url: url.into() }
            }
            ConnectErrorKind::ServerParse => SwarmError::Address(url.into()),
            _ => SwarmError::Unreachable { url: url.into(), reason: error.to_string() },
        })?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(PATIENCE);
        Ok(Self { client, jetstream, pass })
    }
}

/// What drives the tasks of a swarm, on the thread that asks for it.
pub fn runtime() -> Result<Runtime, SwarmError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SwarmError::server("a thread"))
}

/// Tries until the server answers: one that is just started again needs some seconds.
pub async fn patiently<T>(work: impl AsyncFn() -> Result<T, SwarmError>) -> Result<T, SwarmError> {
    let since = Instant::now();
    loop {
        match work().await {
            Err(SwarmError::Server { .. }) if since.elapsed() < LONG_PATIENCE => tokio::time::sleep(AGAIN).await,
            worked => return worked,
        }
    }
}

fn words(event: &Event, was_away: &AtomicBool) -> Option<String> {
    match event {
        Event::Disconnected => {
            was_away.store(true, Ordering::Relaxed);
            Some("the server of the swarm is away; runs go on, and it is tried again".into())
        }
        Event::Connected => was_away.swap(false, Ordering::Relaxed).then(|| "the server of the swarm is back".into()),
        Event::ServerError(error) => Some(format!("the server of the swarm: {error}")),
        _ => None,
    }
}

/// Talks to the server with this certificate alone, by whatever name it was found.
fn to_one_server(certificate: Hash) -> Result<ClientConfig, SwarmError> {
    let provider = Arc::new(crypto::ring::default_provider());
    let verifier = OneServer { certificate, provider: provider.clone() };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| SwarmError::Certificate(error.to_string()))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// Accepts one certificate, where others accept all that an authority has signed.
#[derive(Debug)]
struct OneServer {
    certificate: Hash,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OneServer {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match Hash::of(certificate) == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

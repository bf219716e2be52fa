//! Mutual TLS 1.3: one pinned CA per party, no resumption, no early data.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

use crate::error::{Kind, Result, WireError};
use crate::name::{self, Facts};

/// This party's own certificate chain and key, in PEM.
pub struct Identity {
    /// The party.
    pub party: String,
    /// The certificate, then its issuers below the CA.
    pub chain: String,
    /// The private key (PKCS #8); wiped after use.
    pub key: Zeroizing<String>,
}

/// Everything that this party's connections need to know about certificates.
pub struct Tls {
    /// For accepted connections.
    pub server: Arc<ServerConfig>,
    /// For dialled connections, by peer.
    pub clients: HashMap<String, Arc<ClientConfig>>,
    /// When the own certificate expires.
    pub expires: SystemTime,
}

fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..default_provider()
    }
}

fn settings(detail: &str) -> WireError {
    WireError::new(Kind::Settings).because(detail)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|_| settings("a certificate is not PEM"))
}

/// The pinned CA of one party.
#[derive(Debug)]
struct Pinned {
    roots: Arc<RootCertStore>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Pinned {
    fn read(party: &str, pem: &str) -> Result<Self> {
        let found = certificates(pem)?;
        let [authority] = found.as_slice() else {
            return Err(settings("exactly one CA is pinned for a party").of(party));
        };
        let facts = name::facts(authority).map_err(|_| settings("not a certificate").of(party))?;
        if !facts.is_ca {
            return Err(settings("the pinned certificate is not a CA").of(party));
        }
        let mut roots = RootCertStore::empty();
        roots
            .add(authority.clone())
            .map_err(|_| settings("the pinned CA cannot be used").of(party))?;
        Ok(Pinned {
            roots: Arc::new(roots),
            not_before: facts.not_before,
            not_after: facts.not_after,
        })
    }

    fn valid_at(&self, now: SystemTime) -> std::result::Result<(), Error> {
        if now < self.not_before {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > self.not_after {
            return Err(CertificateError::Expired.into());
        }
        Ok(())
    }
}

fn leaf_facts(leaf: &CertificateDer<'_>) -> std::result::Result<Facts, Error> {
    name::facts(leaf).map_err(|_| CertificateError::BadEncoding.into())
}

fn system_time(now: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs())
}

/// Accepts clients: the leaf's only dNSName chooses the one verifier that may vouch for it.
#[derive(Debug)]
struct Clients {
    verifiers: HashMap<String, (Pinned, Arc<dyn ClientCertVerifier>)>,
    any: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Clients {
    // Hints would tell every dialler who the partners are.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> std::result::Result<ClientCertVerified, Error> {
        let party = leaf_facts(leaf)?.party;
        let Some((pinned, verifier)) = party.and_then(|party| self.verifiers.get(&party)) else {
            return Err(CertificateError::NotValidForName.into());
        };
        pinned.valid_at(system_time(now))?;
        verifier.verify_client_cert(leaf, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        self.any.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.any.supported_verify_schemes()
    }
}

/// Accepts one server: that peer's CA and that peer's name only.
#[derive(Debug)]
struct Server {
    party: String,
    pinned: Pinned,
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Server {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, Error> {
        if leaf_facts(leaf)?.party.as_deref() != Some(self.party.as_str()) {
            return Err(CertificateError::NotValidForName.into());
        }
        self.pinned.valid_at(system_time(now))?;
        self.inner
            .verify_server_cert(leaf, intermediates, server_name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl Tls {
    /// Reads the identity and the pinned CAs (party, PEM).
    pub fn new(identity: &Identity, peers: &[(String, String)]) -> Result<Self> {
        let provider = Arc::new(provider());
        let chain = certificates(&identity.chain)?;
        let expires = own_facts(identity, &chain)?;
        let mut clients = HashMap::new();
        let mut verifiers = HashMap::new();
        let mut any = None;
        for (party, pem) in peers {
            let client = client_config(&provider, party, pem, &chain, read_key(identity)?)?;
            clients.insert(party.clone(), Arc::new(client));
            let pinned = Pinned::read(party, pem)?;
            let verifier =
                WebPkiClientVerifier::builder_with_provider(pinned.roots.clone(), provider.clone())
                    .clear_root_hint_subjects()
                    .build()
                    .map_err(|_| settings("the pinned CA cannot be used").of(party))?;
            any = Some(verifier.clone());
            verifiers.insert(party.clone(), (pinned, verifier));
        }
        let any = any.ok_or_else(|| settings("an endpoint needs a peer"))?;
        let clients_verifier = Arc::new(Clients { verifiers, any });
        let server = server_config(&provider, clients_verifier, chain, read_key(identity)?)?;
        Ok(Tls {
            server: Arc::new(server),
            clients,
            expires,
        })
    }
}

fn own_facts(identity: &Identity, chain: &[CertificateDer<'_>]) -> Result<SystemTime> {
    let leaf = chain
        .first()
        .ok_or_else(|| settings("the certificate is missing"))?;
    let facts = name::facts(leaf).map_err(|_| settings("the certificate cannot be read"))?;
    if facts.party.as_deref() != Some(identity.party.as_str()) {
        return Err(settings("the own certificate carries another name"));
    }
    Ok(facts.not_after)
}

fn read_key(identity: &Identity) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
        .map_err(|_| settings("the private key is not PEM"))
}

fn client_config(
    provider: &Arc<CryptoProvider>,
    party: &str,
    pem: &str,
    chain: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig> {
    let pinned = Pinned::read(party, pem)?;
    let inner = WebPkiServerVerifier::builder_with_provider(pinned.roots.clone(), provider.clone())
        .build()
        .map_err(|_| settings("the pinned CA cannot be used").of(party))?;
    let verifier = Arc::new(Server {
        party: party.to_owned(),
        pinned,
        inner,
    });
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| settings("TLS 1.3 is not available"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(chain.to_vec(), key)
        .map_err(|_| settings("the key and the certificate do not belong together"))?;
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ClientCertVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| settings("TLS 1.3 is not available"))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|_| settings("the key and the certificate do not belong together"))?;
    // A resumed session would skip the verifier.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Says what kind of failure a TLS error is.
pub fn kind_of(error: &Error) -> Kind {
    use CertificateError as C;
    match error {
        Error::InvalidCertificate(reason) => match reason {
            C::Expired | C::ExpiredContext { .. } => Kind::Expired,
            C::NotValidYet | C::NotValidYetContext { .. } => Kind::NotYetValid,
            C::NotValidForName | C::NotValidForNameContext { .. } => Kind::WrongName,
            C::UnknownIssuer | C::BadSignature => Kind::WrongIssuer,
            _ => Kind::Handshake,
        },
        Error::AlertReceived(alert) => alert_kind(*alert),
        _ => Kind::Handshake,
    }
}

fn alert_kind(alert: rustls::AlertDescription) -> Kind {
    use rustls::AlertDescription as A;
    match alert {
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied
        | A::DecryptError
        | A::CertificateRequired => Kind::CertificateRefused,
        A::BadRecordMac | A::DecodeError | A::RecordOverflow | A::UnexpectedMessage => {
            Kind::Damaged
        }
        _ => Kind::Handshake,
    }
}

/// Reads the kind out of an I/O error that TLS has raised, if it did.
pub fn io_kind(error: &std::io::Error) -> Option<Kind> {
    let inner = error.get_ref()?;
    inner.downcast_ref::<Error>().map(kind_of)
}

/// Reads the kind out of an I/O error after the handshake: what is not told by the peer is damage.
pub fn stream_kind(error: &std::io::Error) -> Option<Kind> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => Some(alert_kind(*alert)),
        _ => Some(Kind::Damaged),
    }
}

/// The TLS name of a peer.
pub fn server_name(party: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name::dns_name(party)).map_err(|_| settings("not a party").of(party))
}

/// When a connection to the holder of `leaf` must end; `own` is the own certificate's end.
pub fn expiry(leaf: &CertificateDer<'_>, own: SystemTime) -> SystemTime {
    name::facts(leaf).map_or(own, |facts| facts.not_after.min(own))
}

/// The party of a verified chain.
pub fn party_of(chain: Option<&[CertificateDer<'_>]>) -> Option<String> {
    name::facts(chain?.first()?).ok()?.party
}

//! Mutual TLS 1.3: one pinned CA per party, no resumption, no early data.

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, Error, ServerConfig};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;
use zeroize::Zeroizing;

use crate::error::{Kind, Result};
use crate::name::{self, KeyHash};
use crate::trust::{
    ClientVerifier, InvitationVerifier, Newest, OTHER_AUTHORITY, Pin, ServerVerifier, certificates,
    settings,
};

/// The application protocol of gRPC.
pub const HTTP2: &[u8] = b"h2";
/// The application protocol of a worker's stream between two gateways.
pub const RELAY: &[u8] = b"atoll-relay/1";
/// The application protocol of someone who is no partner yet.
pub const ENROL: &[u8] = b"atoll-enrol/1";

/// This party's own certificate chain and key, in PEM.
pub struct Identity {
    /// The party.
    pub party: String,
    /// The certificate, then its issuers below the CA.
    pub chain: String,
    /// The private key (PKCS #8); wiped after use.
    pub key: Zeroizing<String>,
}

/// Everything that an endpoint's connections need to know about certificates.
pub struct Tls {
    /// For accepted connections.
    pub server: Arc<ServerConfig>,
    /// For dialled connections, by peer.
    pub clients: HashMap<String, Arc<ClientConfig>>,
    /// When the pinned CAs expire, by peer.
    pub ends: HashMap<String, SystemTime>,
    /// The own key, and when its certificates expire.
    pub own: (KeyHash, SystemTime),
}

/// What is spoken: TLS 1.3 with its three suites.
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..default_provider()
    }
}

/// The own certificate and key, ready for handshakes.
pub struct Own {
    /// What is spoken.
    pub provider: Arc<CryptoProvider>,
    /// When the certificate expires, or one of those that it hangs on.
    pub expires: SystemTime,
    /// SHA-256 of its key.
    pub key: KeyHash,
    chain: Vec<CertificateDer<'static>>,
    certified: Arc<CertifiedKey>,
}

impl Own {
    /// Reads an identity; its certificate must carry the party's name and fit the key.
    pub fn read(identity: &Identity) -> Result<Self> {
        let provider = Arc::new(provider());
        let chain = certificates(&identity.chain)?;
        let leaf = chain
            .first()
            .ok_or_else(|| settings("the certificate is missing"))?;
        let facts = name::facts(leaf).map_err(|_| settings("the certificate cannot be read"))?;
        if facts.party.as_deref() != Some(identity.party.as_str()) {
            return Err(settings("the own certificate carries another name"));
        }
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
            .map_err(|_| settings("the private key is not PEM"))?;
        let certified = CertifiedKey::from_der(chain.clone(), key, &provider)
            .map_err(|_| settings("the key and the certificate do not belong together"))?;
        Ok(Own {
            provider,
            expires: ends_of(&chain).unwrap_or(facts.not_after),
            key: facts.key,
            chain,
            certified: Arc::new(certified),
        })
    }

    /// The key, and when its certificates expire.
    pub fn shown(&self) -> (KeyHash, SystemTime) {
        (self.key, self.expires)
    }

    /// The same, which ends with the own CA as well: partners pin it.
    pub fn under(mut self, authority: Option<&str>) -> Result<Self> {
        let authority = authority.map(certificates).transpose()?.unwrap_or_default();
        if let Some(end) = ends_of(&authority) {
            self.expires = self.expires.min(end);
        }
        Ok(self)
    }

    /// The same, showing the CA too: who has only its fingerprint needs to see it.
    pub fn showing(&self, authority: &str) -> Result<Arc<CertifiedKey>> {
        let mut chain = self.chain.clone();
        for certificate in certificates(authority)? {
            if !chain.contains(&certificate) {
                chain.push(certificate);
            }
        }
        let key = self.certified.key.clone();
        Ok(Arc::new(CertifiedKey::new(chain, key)))
    }

    /// For connections that are dialled to the party of a pin.
    pub fn client(&self, pin: Arc<Pin>, protocol: &[u8]) -> Result<ClientConfig> {
        let resolver = Arc::new(SingleCertAndKey::from(self.certified.clone()));
        let mut config = client_builder(&self.provider, Arc::new(ServerVerifier(pin)))?
            .with_client_cert_resolver(resolver);
        harden_client(&mut config, protocol);
        Ok(config)
    }

    /// For connections that are accepted from pinned parties.
    pub fn server(
        &self,
        clients: Arc<ClientVerifier>,
        protocols: &[&[u8]],
    ) -> Result<ServerConfig> {
        let resolver = Arc::new(SingleCertAndKey::from(self.certified.clone()));
        let verifier: Arc<dyn ClientCertVerifier> = clients;
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_| settings("TLS 1.3 is not available"))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(resolver);
        harden_server(&mut config, protocols);
        Ok(config)
    }

    /// For strangers who want to become partners: they show no certificate.
    pub fn enrolment(&self, authority: &str) -> Result<ServerConfig> {
        let resolver = Arc::new(SingleCertAndKey::from(self.showing(authority)?));
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_| settings("TLS 1.3 is not available"))?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        harden_server(&mut config, &[ENROL]);
        Ok(config)
    }
}

/// For a stranger's one connection to the party that invited it.
pub fn invited(party: &str, fingerprint: [u8; 32]) -> Result<ClientConfig> {
    let provider = Arc::new(provider());
    let verifier = InvitationVerifier {
        party: party.to_owned(),
        fingerprint,
        provider: provider.clone(),
    };
    let mut config = client_builder(&provider, Arc::new(verifier))?.with_no_client_auth();
    harden_client(&mut config, ENROL);
    Ok(config)
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn client_builder(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Builder> {
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| settings("TLS 1.3 is not available"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(builder)
}

fn harden_client(config: &mut ClientConfig, protocol: &[u8]) {
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.alpn_protocols = vec![protocol.to_vec()];
}

fn harden_server(config: &mut ServerConfig, protocols: &[&[u8]]) {
    // A resumed session would skip the verifier.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
}

impl Tls {
    /// Reads the identity and the pinned CAs (party, PEM).
    pub fn new(identity: &Identity, peers: &[(String, String)]) -> Result<Self> {
        if peers.is_empty() {
            return Err(settings("an endpoint needs a peer"));
        }
        let own = Own::read(identity)?;
        let accepted = Arc::new(ClientVerifier::new(&own.provider));
        let mut clients = HashMap::new();
        let mut ends = HashMap::new();
        for (party, pem) in peers {
            let pin = Arc::new(Pin::read(party, pem, &own.provider)?);
            clients.insert(party.clone(), Arc::new(own.client(pin.clone(), HTTP2)?));
            ends.insert(party.clone(), pin.ends());
            accepted.add(pin);
        }
        Ok(Tls {
            server: Arc::new(own.server(accepted, &[HTTP2])?),
            clients,
            ends,
            own: own.shown(),
        })
    }

    /// Reads what a pinned peer has shown.
    pub fn shown(&self, peer: &str, chain: Option<&[CertificateDer<'_>]>) -> Option<Shown> {
        let (key, expires) = self.own;
        Shown::read(chain, (key, expires.min(*self.ends.get(peer)?)))
    }
}

/// Returns what kind of failure a TLS error is.
pub fn kind_of(error: &Error) -> Kind {
    use CertificateError as C;
    match error {
        Error::InvalidCertificate(reason) => match reason {
            C::Expired | C::ExpiredContext { .. } => Kind::Expired,
            C::NotValidYet | C::NotValidYetContext { .. } => Kind::NotYetValid,
            C::Revoked => Kind::Rotated,
            C::NotValidForName | C::NotValidForNameContext { .. } => Kind::WrongName,
            C::UnknownIssuer | C::BadSignature => Kind::WrongIssuer,
            other if *other == OTHER_AUTHORITY => Kind::OtherAuthority,
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

/// Reads the kind out of an I/O error after the handshake: what the peer did not send is damage.
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

/// When the first certificate of a chain expires.
fn ends_of(chain: &[CertificateDer<'_>]) -> Option<SystemTime> {
    let ends = chain.iter().map(|one| name::facts(one).ok());
    // What cannot be read vouches for nothing.
    ends.map(|facts| facts.map_or(SystemTime::UNIX_EPOCH, |facts| facts.not_after))
        .min()
}

/// What the other end of a connection has shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// Its certificate.
    pub leaf: Newest,
    /// The own key that it was shown.
    pub own: KeyHash,
    /// When the connection must end: when any certificate expires that it hangs on.
    pub expires: SystemTime,
}

impl Shown {
    /// Reads a verified chain; `own` is the own key and when its certificates expire.
    pub fn read(chain: Option<&[CertificateDer<'_>]>, own: (KeyHash, SystemTime)) -> Option<Self> {
        let chain = chain?;
        let facts = name::facts(chain.first()?).ok()?;
        Some(Shown {
            leaf: Newest::of(&facts),
            own: own.0,
            expires: ends_of(chain)?.min(own.1),
        })
    }
}

/// The party of a verified chain.
pub fn party_of(chain: Option<&[CertificateDer<'_>]>) -> Option<String> {
    name::facts(chain?.first()?).ok()?.party
}

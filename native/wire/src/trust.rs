//! Who is believed: one pinned CA per party, in both directions.

use ring::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use crate::error::{Kind, Result, WireError};
use crate::name::{self, Facts, KeyHash};

/// The failure of something that was configured.
pub fn settings(detail: &str) -> WireError {
    WireError::new(Kind::Settings).because(detail)
}

/// Reads certificates (PEM).
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|_| settings("a certificate is not PEM"))
}

type Checked<T> = std::result::Result<T, Error>;

/// The length of a CA's fingerprint (SHA-256 of its DER form).
pub const FINGERPRINT: usize = 32;

fn leaf_facts(leaf: &CertificateDer<'_>) -> Checked<Facts> {
    name::facts(leaf).map_err(|_| CertificateError::BadEncoding.into())
}

fn system_time(now: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs())
}

fn old_signature() -> Checked<HandshakeSignatureValid> {
    Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
}

/// The certificate of a party that its CA issued last, as far as this party has seen. A key that
/// only older ones are for was rotated away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    /// From when it is valid.
    pub issued: SystemTime,
    /// Its key.
    pub key: KeyHash,
}

impl Newest {
    /// What a certificate states.
    pub fn of(facts: &Facts) -> Self {
        Newest {
            issued: facts.not_before,
            key: facts.key,
        }
    }
}

/// The pinned CA of one party.
#[derive(Debug)]
pub struct Pin {
    party: String,
    not_before: SystemTime,
    not_after: SystemTime,
    newest: Mutex<Option<Newest>>,
    clients: Arc<dyn ClientCertVerifier>,
    servers: Arc<WebPkiServerVerifier>,
}

impl Pin {
    /// Reads the CA (PEM) of a party.
    pub fn read(party: &str, pem: &str, provider: &Arc<CryptoProvider>) -> Result<Self> {
        let refuse = |detail: &str| settings(detail).of(party);
        let found = certificates(pem).map_err(|error| error.of(party))?;
        let [authority] = found.as_slice() else {
            return Err(refuse("exactly one CA is pinned for a party"));
        };
        Pin::of(party, authority, provider)
    }

    fn of(
        party: &str,
        authority: &CertificateDer<'_>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self> {
        let refuse = |detail: &str| settings(detail).of(party);
        let facts = name::facts(authority).map_err(|_| refuse("not a certificate"))?;
        if !facts.is_ca {
            return Err(refuse("the pinned certificate is not a CA"));
        }
        let unusable = |_| refuse("the pinned CA cannot be used");
        let mut roots = RootCertStore::empty();
        roots
            .add(authority.clone().into_owned())
            .map_err(|_| refuse("the pinned CA cannot be used"))?;
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .clear_root_hint_subjects()
            .build()
            .map_err(unusable)?;
        let servers = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(unusable)?;
        Ok(Pin {
            party: party.to_owned(),
            not_before: facts.not_before,
            not_after: facts.not_after,
            newest: Mutex::default(),
            clients,
            servers,
        })
    }

    /// When the CA expires, and with it every connection that it vouches for.
    pub fn ends(&self) -> SystemTime {
        self.not_after
    }

    /// Takes note of a certificate whose holder has proved that it has the key. Returns whether
    /// it is newer than what was known, or that its key was rotated away.
    pub fn note(&self, shown: Newest) -> std::result::Result<bool, Kind> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        match *newest {
            Some(known) if shown.issued < known.issued && shown.key != known.key => {
                Err(Kind::Rotated)
            }
            Some(known) if shown.issued <= known.issued => Ok(false),
            _ => {
                *newest = Some(shown);
                Ok(true)
            }
        }
    }

    fn in_use(&self, shown: &Facts) -> Checked<()> {
        let newest = *self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        match newest {
            Some(known) if shown.not_before < known.issued && shown.key != known.key => {
                Err(CertificateError::Revoked.into())
            }
            _ => Ok(()),
        }
    }

    fn valid_at(&self, now: SystemTime) -> Checked<()> {
        if now < self.not_before {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > self.not_after {
            return Err(CertificateError::Expired.into());
        }
        Ok(())
    }

    fn verify_server(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Checked<ServerCertVerified> {
        let facts = leaf_facts(leaf)?;
        if facts.party.as_deref() != Some(self.party.as_str()) {
            return Err(CertificateError::NotValidForName.into());
        }
        self.valid_at(system_time(now))?;
        let verified =
            self.servers
                .verify_server_cert(leaf, intermediates, server_name, &[], now)?;
        self.in_use(&facts)?;
        Ok(verified)
    }
}

/// Accepts clients: the leaf's only dNSName chooses the one pin that may vouch for it. Pins may
/// come and go; each handshake sees those of its moment.
#[derive(Debug)]
pub struct ClientVerifier {
    pins: RwLock<HashMap<String, Arc<Pin>>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    /// No one is believed yet.
    pub fn new(provider: &CryptoProvider) -> Self {
        ClientVerifier {
            pins: RwLock::default(),
            algorithms: provider.signature_verification_algorithms,
        }
    }

    /// Believes a pin from now on, in place of an earlier one of the same party.
    pub fn add(&self, pin: Arc<Pin>) {
        let mut pins = self.pins.write().unwrap_or_else(PoisonError::into_inner);
        pins.insert(pin.party.clone(), pin);
    }

    /// Believes nothing about a party any more.
    pub fn remove(&self, party: &str) {
        let mut pins = self.pins.write().unwrap_or_else(PoisonError::into_inner);
        pins.remove(party);
    }

    fn pin(&self, party: &str) -> Option<Arc<Pin>> {
        let pins = self.pins.read().unwrap_or_else(PoisonError::into_inner);
        pins.get(party).cloned()
    }
}

impl ClientCertVerifier for ClientVerifier {
    // Hints would show every dialler who the partners are.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Checked<ClientCertVerified> {
        let facts = leaf_facts(leaf)?;
        let Some(pin) = facts.party.as_deref().and_then(|party| self.pin(party)) else {
            return Err(CertificateError::NotValidForName.into());
        };
        pin.valid_at(system_time(now))?;
        let verified = pin.clients.verify_client_cert(leaf, intermediates, now)?;
        pin.in_use(&facts)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Checked<HandshakeSignatureValid> {
        old_signature()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Checked<HandshakeSignatureValid> {
        verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Accepts one server: that peer's CA and that peer's name only.
#[derive(Debug)]
pub struct ServerVerifier(pub Arc<Pin>);

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Checked<ServerCertVerified> {
        self.0.verify_server(leaf, intermediates, server_name, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Checked<HandshakeSignatureValid> {
        old_signature()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Checked<HandshakeSignatureValid> {
        self.0
            .servers
            .verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.servers.supported_verify_schemes()
    }
}

/// Accepts the one server of a party whose CA has a fingerprint that is known beforehand.
#[derive(Debug)]
pub struct InvitationVerifier {
    /// The party.
    pub party: String,
    /// SHA-256 of its CA's DER form.
    pub fingerprint: [u8; FINGERPRINT],
    /// What is spoken.
    pub provider: Arc<CryptoProvider>,
}

/// What `InvitationVerifier` reports for a server with another CA; `tls::kind_of` knows it.
pub const OTHER_AUTHORITY: CertificateError = CertificateError::ApplicationVerificationFailure;

impl ServerCertVerifier for InvitationVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Checked<ServerCertVerified> {
        // A fingerprint is public; there is nothing to hide in how long comparing takes.
        let authority = intermediates.iter().find(|certificate| {
            digest::digest(&digest::SHA256, certificate).as_ref() == self.fingerprint
        });
        let authority = authority.ok_or(OTHER_AUTHORITY)?;
        let pin = Pin::of(&self.party, authority, &self.provider)
            .map_err(|_: WireError| Error::from(OTHER_AUTHORITY))?;
        pin.verify_server(leaf, intermediates, server_name, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Checked<HandshakeSignatureValid> {
        old_signature()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Checked<HandshakeSignatureValid> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

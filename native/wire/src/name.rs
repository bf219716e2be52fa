//! Party names: one DNS label, and the one dNSName that a certificate carries for it.

use ring::digest;
use rustls::pki_types::CertificateDer;
use std::time::{Duration, SystemTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::error::Kind;

/// What follows the party in a certificate's name.
pub const SUFFIX: &str = ".atoll.internal";

/// Returns whether this is a party id: one lower-case DNS label of at most 63 characters.
pub fn is_party(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|&byte| inner(byte) || byte == b'-')
        && inner(bytes[0])
        && inner(bytes[bytes.len() - 1])
}

/// SHA-256 of a public key.
pub type KeyHash = [u8; 32];

/// The dNSName of a party.
pub fn dns_name(party: &str) -> String {
    format!("{party}{SUFFIX}")
}

/// What matters of a certificate beside its signature.
pub struct Facts {
    /// The party of its only dNSName.
    pub party: Option<String>,
    /// Whether it may issue certificates.
    pub is_ca: bool,
    /// From when it is valid.
    pub not_before: SystemTime,
    /// Until when it is valid.
    pub not_after: SystemTime,
    /// SHA-256 of its public key (SubjectPublicKeyInfo in DER).
    pub key: KeyHash,
}

/// Reads a certificate. The subject's common name is never looked at.
pub fn facts(certificate: &CertificateDer<'_>) -> Result<Facts, Kind> {
    let (rest, parsed) = X509Certificate::from_der(certificate).map_err(|_| Kind::Handshake)?;
    if !rest.is_empty() {
        return Err(Kind::Handshake);
    }
    let moment = |seconds: i64| {
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    };
    let mut key = KeyHash::default();
    key.copy_from_slice(digest::digest(&digest::SHA256, parsed.public_key().raw).as_ref());
    Ok(Facts {
        key,
        party: only_party(&parsed),
        is_ca: parsed.is_ca(),
        not_before: moment(parsed.validity().not_before.timestamp()),
        not_after: moment(parsed.validity().not_after.timestamp()),
    })
}

fn only_party(certificate: &X509Certificate<'_>) -> Option<String> {
    // Twice the extension is an error here, and so is a second dNSName of whatever form.
    let names = certificate.subject_alternative_name().ok()??;
    let mut dns = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(text) => Some(*text),
            _ => None,
        });
    let only = dns.next()?;
    if dns.next().is_some() {
        return None;
    }
    let party = only.strip_suffix(SUFFIX)?;
    is_party(party).then(|| party.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for good in ["a", "9999", "acme-bank", &"x".repeat(63)] {
            assert!(is_party(good), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a.b",
            "a_b",
            "bänk",
            "a ",
            &"x".repeat(64),
        ] {
            assert!(!is_party(bad), "{bad}");
        }
    }
}

//! What can go wrong between two parties, each kind with its stable code.

use std::fmt;

/// The kind of a failure; `code` gives the stable form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The peer was silent for too long.
    PeerLost,
    /// The deadline of this call passed.
    Deadline,
    /// The peer ended the session and nothing is queued.
    PeerLeft,
    /// The peer failed and sent its code and phase.
    PeerFailed,
    /// The message is larger than allowed.
    TooLarge,
    /// The peer was never reached.
    Unreachable,
    /// The certificate was not issued by the CA that is pinned for the party.
    WrongIssuer,
    /// The certificate does not carry exactly the one name that is expected.
    WrongName,
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate's key is older than another that the party's CA has certified since.
    Rotated,
    /// The TLS handshake failed for another reason.
    Handshake,
    /// The peer refused our certificate.
    CertificateRefused,
    /// A frame names another sender or receiver than the certificates do.
    WrongParty,
    /// A frame is truncated or corrupted.
    Corrupted,
    /// The peer broke the rules of the wire.
    Violation,
    /// The peer speaks no version that we speak.
    Version,
    /// The peer was restarted in the middle of the conversation.
    Restarted,
    /// The endpoint is closed.
    Closed,
    /// The call was cancelled.
    Cancelled,
    /// The address cannot be listened on.
    Listen,
    /// No such peer is configured.
    UnknownPeer,
    /// The own certificate, key or a setting cannot be used.
    Settings,
    /// An argument of the call cannot be used.
    Argument,
    /// The encrypted stream was damaged on its way; the connection is closed and a new one is made.
    Damaged,
    /// The peer refused what it was sent.
    FrameRefused,
    /// The peer has no worker under this label, or not for this party.
    NotHere,
    /// The own gateway knows no worker of this label and token.
    UnknownWorker,
    /// The peer is known and cannot be dialled.
    NoAddress,
    /// The peer refused a call.
    CallRefused,
    /// Too many calls or streams of this party wait or live here.
    Crowded,
    /// No answer to the call came in time.
    NoAnswer,
    /// The connection broke before the answer came.
    CallBroken,
    /// The server of an invitation has another CA.
    OtherAuthority,
}

impl Kind {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Kind::PeerLost => "ATL-NET-001",
            Kind::Deadline => "ATL-NET-002",
            Kind::PeerLeft => "ATL-NET-003",
            Kind::PeerFailed => "ATL-NET-004",
            Kind::TooLarge => "ATL-NET-005",
            Kind::Unreachable => "ATL-NET-010",
            Kind::WrongIssuer => "ATL-NET-011",
            Kind::WrongName => "ATL-NET-012",
            Kind::Expired => "ATL-NET-013",
            Kind::NotYetValid => "ATL-NET-014",
            Kind::Rotated => "ATL-NET-049",
            Kind::Handshake => "ATL-NET-015",
            Kind::CertificateRefused => "ATL-NET-016",
            Kind::WrongParty => "ATL-NET-017",
            Kind::Corrupted => "ATL-NET-018",
            Kind::Violation => "ATL-NET-019",
            Kind::Version => "ATL-NET-020",
            Kind::Restarted => "ATL-NET-021",
            Kind::Closed => "ATL-NET-022",
            Kind::Cancelled => "ATL-NET-023",
            Kind::Listen => "ATL-NET-024",
            Kind::UnknownPeer => "ATL-NET-006",
            Kind::Settings => "ATL-NET-026",
            Kind::Argument => "ATL-NET-027",
            Kind::Damaged => "ATL-NET-028",
            Kind::FrameRefused => "ATL-NET-029",
            Kind::NotHere => "ATL-NET-040",
            Kind::UnknownWorker => "ATL-NET-041",
            Kind::NoAddress => "ATL-NET-042",
            Kind::CallRefused => "ATL-NET-043",
            Kind::Crowded => "ATL-NET-044",
            Kind::NoAnswer => "ATL-NET-045",
            Kind::CallBroken => "ATL-NET-046",
            Kind::OtherAuthority => "ATL-NET-047",
        }
    }

    /// The kind that a gateway's code stands for, where a worker makes a difference.
    pub fn of_code(code: &str) -> Option<Self> {
        const ROUTING: [Kind; 13] = [
            Kind::NotHere,
            Kind::UnknownWorker,
            Kind::NoAddress,
            Kind::UnknownPeer,
            Kind::Unreachable,
            Kind::WrongIssuer,
            Kind::WrongName,
            Kind::Expired,
            Kind::NotYetValid,
            Kind::Rotated,
            Kind::Handshake,
            Kind::CertificateRefused,
            Kind::Crowded,
        ];
        ROUTING.into_iter().find(|kind| kind.code() == code)
    }

    fn text(self) -> &'static str {
        match self {
            Kind::PeerLost => "the peer was silent for too long",
            Kind::Deadline => "the deadline passed",
            Kind::PeerLeft => "the peer has left and nothing more is queued",
            Kind::PeerFailed => "the peer failed",
            Kind::TooLarge => "the message is too large",
            Kind::Unreachable => "the peer could not be reached",
            Kind::WrongIssuer => "the certificate was not issued by the CA pinned for this party",
            Kind::WrongName => "the certificate does not carry exactly the party's name",
            Kind::Expired => "the certificate has expired",
            Kind::NotYetValid => "the certificate is not valid yet",
            Kind::Rotated => "the party has rotated the key of this certificate away",
            Kind::Handshake => "the TLS handshake failed",
            Kind::CertificateRefused => "the peer refused this party's certificate",
            Kind::WrongParty => "a frame names another party than its certificate",
            Kind::Corrupted => "a frame was truncated or corrupted",
            Kind::Violation => "the peer broke the rules of the wire",
            Kind::Version => "the peer speaks no common version",
            Kind::Restarted => "the peer was restarted",
            Kind::Closed => "the endpoint is closed",
            Kind::Cancelled => "the call was cancelled",
            Kind::Listen => "the address cannot be listened on",
            Kind::UnknownPeer => "no such peer is known here",
            Kind::Settings => "the endpoint's settings cannot be used",
            Kind::Argument => "an argument cannot be used",
            Kind::Damaged => "the encrypted stream was damaged",
            Kind::FrameRefused => "the peer refused what it was sent",
            Kind::NotHere => "the peer's node does not know this conversation (yet)",
            Kind::UnknownWorker => "the node's own gateway does not know this worker",
            Kind::NoAddress => "no address is known for the peer",
            Kind::CallRefused => "the peer refused the call",
            Kind::Crowded => "too much of one party is under way",
            Kind::NoAnswer => "no answer to the call came in time",
            Kind::CallBroken => "the connection broke before the answer came",
            Kind::OtherAuthority => "the enrolling server shows another authority",
        }
    }
}

/// A failure: its kind, the peer that it concerns, and what is known beyond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    /// The kind.
    pub kind: Kind,
    /// The peer that it concerns.
    pub peer: Option<String>,
    /// What is known beyond the kind; never data.
    pub detail: Option<String>,
    /// The code that the peer sent (`PeerFailed`, `FrameRefused`, `CallRefused`).
    pub peer_code: Option<String>,
    /// The phase that the peer sent (`PeerFailed`).
    pub peer_phase: Option<String>,
}

impl WireError {
    /// A failure without further detail.
    pub fn new(kind: Kind) -> Self {
        WireError {
            kind,
            peer: None,
            detail: None,
            peer_code: None,
            peer_phase: None,
        }
    }

    /// Names the peer.
    pub fn of(mut self, peer: &str) -> Self {
        self.peer = Some(peer.to_owned());
        self
    }

    /// Adds a detail.
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// The message without the peer's name.
    pub fn message(&self) -> String {
        let mut text = self.kind.text().to_owned();
        if let Some(code) = &self.peer_code {
            text.push_str(&format!(" with {code}"));
        }
        if let Some(phase) = &self.peer_phase {
            text.push_str(&format!(" in {phase}"));
        }
        if let Some(detail) = &self.detail {
            text.push_str(&format!(" ({detail})"));
        }
        text
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code(), self.message())?;
        match &self.peer {
            Some(peer) => write!(formatter, ", peer {peer}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for WireError {}

/// The result of a call on the wire.
pub type Result<T> = std::result::Result<T, WireError>;

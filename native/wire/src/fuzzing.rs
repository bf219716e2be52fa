//! What arrives from strangers and partners, as functions of bytes: for fuzzers alone.

use bytes::{Buf, Bytes};

use crate::codec::read;
use crate::inbox::{Accepted, Inbox, checksum};
use crate::name;
use crate::proto::envelope::Content;
use crate::proto::{Attach, CallRequest, CallResponse, Envelope, Route, Routed};
use crate::trust;

/// Reads bytes as a stream of envelopes, two bytes of length before each, and takes in their
/// frames. Checksums are put right, for no fuzzer finds them.
pub fn stream(data: &[u8]) {
    let mut rest = Bytes::copy_from_slice(data);
    let mut inbox = Inbox::new(1 << 20);
    let mut held = 0;
    while rest.remaining() >= 2 {
        let length = usize::from(rest.get_u16());
        if length > rest.len() {
            return;
        }
        let Ok(envelope) = read::<Envelope>(rest.split_to(length)) else {
            return;
        };
        match envelope.content {
            Some(Content::Frame(mut frame)) => {
                frame.checksum = checksum(&frame.body);
                held += frame.body.len();
                match inbox.accept(frame) {
                    Ok(Accepted::Message(_, body)) => assert!(body.join().len() <= held),
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
            Some(Content::Bye(bye)) if inbox.accept_bye(bye.sequence).is_err() => return,
            _ => {}
        }
    }
}

/// Reads bytes as each message that is sent before a stream or in a call.
pub fn handshakes(data: &[u8]) {
    let _ = read::<Attach>(data);
    let _ = read::<CallRequest>(data);
    let _ = read::<CallResponse>(data);
    let _ = read::<Route>(data);
    let _ = read::<Routed>(data);
}

/// Reads bytes as a certificate, and as text that holds some.
pub fn certificates(data: &[u8]) {
    let _ = name::facts(&data.into());
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = trust::certificates(text);
    }
}

#[cfg(test)]
mod tests {
    type Replay = fn(&[u8]);

    #[test]
    fn every_corpus_ends_in_an_answer() {
        let replays: [(&str, Replay); 3] = [
            ("frames", super::stream),
            ("handshakes", super::handshakes),
            ("certificates", super::certificates),
        ];
        for (name, read) in replays {
            let folder = format!(
                "{}/../../tests/fuzz/corpora/{name}",
                env!("CARGO_MANIFEST_DIR")
            );
            let mut count = 0;
            for entry in std::fs::read_dir(folder).unwrap() {
                read(&std::fs::read(entry.unwrap().path()).unwrap());
                count += 1;
            }
            assert!(count > 0, "{name} is empty");
        }
    }
}

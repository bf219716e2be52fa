//! What arrives from one peer: frames in order, each once, joined to messages.

use bytes::Bytes;
use std::collections::HashMap;

use crate::error::Kind;
use crate::limits::{FRAME_BYTES, MESSAGE_BYTES, MESSAGE_COST, NAME_BYTES};
use crate::proto::{Frame, Receipt};

/// Smaller bodies are copied out of the buffer that they arrived in, which may be much larger.
const COPY_BELOW: usize = 256 << 10;

/// Where a message belongs within its sender.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The job.
    pub job: String,
    /// The task.
    pub task: String,
    /// The attempt.
    pub attempt: u32,
    /// The tag.
    pub tag: String,
}

impl Address {
    /// Returns whether every part is within its limit.
    pub fn is_valid(&self) -> bool {
        [&self.job, &self.task, &self.tag]
            .iter()
            .all(|name| name.len() <= NAME_BYTES)
    }
}

/// The body of a message, as it came. Small pieces are joined at once: kept one by one, a message
/// in pieces of a byte would take many times its length.
#[derive(Debug, Default)]
pub struct Body {
    pieces: Vec<Bytes>,
    tail: Vec<u8>,
    frames: usize,
    /// The length of all pieces together.
    pub length: usize,
}

impl Body {
    fn add(&mut self, piece: Bytes) -> Result<(), Kind> {
        self.frames += 1;
        self.length += piece.len();
        if self.length > MESSAGE_BYTES {
            return Err(Kind::TooLarge);
        }
        if piece.len() < COPY_BELOW {
            self.tail.extend_from_slice(&piece);
        } else {
            self.end_tail();
            self.pieces.push(piece);
        }
        Ok(())
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(std::mem::take(&mut self.tail).into());
        }
    }

    /// The whole body, without a copy if it came in one piece.
    pub fn join(mut self) -> Bytes {
        self.end_tail();
        match self.pieces.len() {
            0 => Bytes::new(),
            1 => self.pieces.swap_remove(0),
            _ => {
                let mut whole = Vec::with_capacity(self.length);
                self.pieces
                    .drain(..)
                    .for_each(|piece| whole.extend_from_slice(&piece));
                whole.into()
            }
        }
    }
}

#[derive(Debug)]
struct Partial {
    address: Address,
    body: Body,
}

/// What came of a frame.
#[derive(Debug)]
pub enum Accepted {
    /// It was here before.
    Again,
    /// Its message is not complete yet.
    Piece,
    /// It completed a message.
    Message(Address, Body),
}

/// The receiving side of one peer.
#[derive(Debug)]
pub struct Inbox {
    window: u64,
    received: u64,
    arrived: u64,
    consumed: u64,
    partial: HashMap<u64, Partial>,
}

impl Inbox {
    /// An inbox that lets the peer go `window` bytes ahead.
    pub fn new(window: u64) -> Self {
        Inbox {
            window,
            received: 0,
            arrived: 0,
            consumed: 0,
            partial: HashMap::new(),
        }
    }

    /// What the peer is sent.
    pub fn receipt(&self) -> Receipt {
        Receipt {
            received: self.received,
            consumed: self.consumed,
        }
    }

    /// Counts a message as read by the program.
    pub fn consume(&mut self, cost: u64) {
        self.consumed += cost;
    }

    /// Takes the farewell's number. Returns whether it is new.
    pub fn accept_bye(&mut self, sequence: u64) -> Result<bool, Kind> {
        let new = self.in_order(sequence)?;
        if new && !self.partial.is_empty() {
            return Err(Kind::Violation);
        }
        Ok(new)
    }

    fn in_order(&mut self, sequence: u64) -> Result<bool, Kind> {
        if sequence == 0 || sequence > self.received + 1 {
            return Err(Kind::Violation);
        }
        let new = sequence == self.received + 1;
        if new {
            self.received = sequence;
        }
        Ok(new)
    }

    /// Takes a frame whose sender was checked.
    pub fn accept(&mut self, frame: Frame) -> Result<Accepted, Kind> {
        if frame.length as usize != frame.body.len() || checksum(&frame.body) != frame.checksum {
            return Err(Kind::Corrupted);
        }
        let last = frame.total > 0;
        if frame.body.len() > FRAME_BYTES || (frame.body.is_empty() && !(last && frame.total == 1))
        {
            return Err(Kind::Violation);
        }
        if !self.in_order(frame.sequence)? {
            return Ok(Accepted::Again);
        }
        let address = Address {
            job: frame.job,
            task: frame.task,
            attempt: frame.attempt,
            tag: frame.tag,
        };
        if !address.is_valid() {
            return Err(Kind::Violation);
        }
        let begun = self.partial.remove(&frame.message);
        self.arrived += frame.body.len() as u64;
        if begun.is_none() {
            self.arrived += MESSAGE_COST;
        }
        if self.arrived - self.consumed > self.window {
            return Err(Kind::Violation);
        }
        let mut partial = begun.unwrap_or_else(|| Partial {
            address: address.clone(),
            body: Body::default(),
        });
        if partial.address != address {
            return Err(Kind::Violation);
        }
        partial.body.add(frame.body)?;
        if !last {
            self.partial.insert(frame.message, partial);
            return Ok(Accepted::Piece);
        }
        if partial.body.frames != frame.total as usize {
            return Err(Kind::Violation);
        }
        Ok(Accepted::Message(partial.address, partial.body))
    }
}

/// The CRC-32C of a body.
pub fn checksum(body: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, body) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(sequence: u64, message: u64, total: u32, body: &'static [u8]) -> Frame {
        Frame {
            sequence,
            message,
            total,
            tag: "t".to_owned(),
            length: body.len() as u32,
            checksum: checksum(body),
            body: Bytes::from_static(body),
            ..Frame::default()
        }
    }

    fn message(accepted: Accepted) -> Bytes {
        match accepted {
            Accepted::Message(_, body) => body.join(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn checksum_is_castagnoli() {
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn alternating_pieces_are_joined() {
        let mut inbox = Inbox::new(1 << 20);
        inbox.accept(frame(1, 1, 0, b"ab")).unwrap();
        inbox.accept(frame(2, 2, 0, b"xy")).unwrap();
        assert_eq!(message(inbox.accept(frame(3, 2, 2, b"z")).unwrap()), "xyz");
        assert_eq!(message(inbox.accept(frame(4, 1, 2, b"c")).unwrap()), "abc");
        assert_eq!(message(inbox.accept(frame(5, 3, 1, b"")).unwrap()), "");
        assert_eq!(inbox.receipt().received, 5);
    }

    #[test]
    fn small_pieces_take_no_more_than_their_bytes() {
        let mut inbox = Inbox::new(1 << 20);
        let pieces = 10_000;
        for number in 1..pieces {
            inbox.accept(frame(number, 1, 0, b"a")).unwrap();
        }
        let held = &inbox.partial[&1].body;
        assert!(held.pieces.is_empty() && held.tail.capacity() < 3 * held.length);
        let last = frame(pieces, 1, pieces as u32, b"a");
        assert_eq!(message(inbox.accept(last).unwrap()).len(), 10_000);
    }

    #[test]
    fn repeated_frames_count_once_and_gaps_are_refused() {
        let mut inbox = Inbox::new(1 << 20);
        inbox.accept(frame(1, 1, 1, b"a")).unwrap();
        let again = inbox.accept(frame(1, 1, 1, b"a")).unwrap();
        assert!(matches!(again, Accepted::Again));
        assert_eq!(
            inbox.accept(frame(3, 2, 1, b"a")).unwrap_err(),
            Kind::Violation
        );
    }

    #[test]
    fn damage_and_lies_are_refused() {
        let mut inbox = Inbox::new(4 * MESSAGE_COST);
        let mut wrong = frame(1, 1, 1, b"abc");
        wrong.checksum ^= 1;
        assert_eq!(inbox.accept(wrong).unwrap_err(), Kind::Corrupted);
        let mut short = frame(1, 1, 1, b"abc");
        short.length = 4;
        assert_eq!(inbox.accept(short).unwrap_err(), Kind::Corrupted);
        let none = frame(1, 1, 0, b"");
        assert_eq!(inbox.accept(none).unwrap_err(), Kind::Violation);
        let pieces = frame(1, 1, 2, b"abc");
        assert_eq!(inbox.accept(pieces).unwrap_err(), Kind::Violation);
    }

    #[test]
    fn the_window_binds_the_sender() {
        let mut inbox = Inbox::new(2 * MESSAGE_COST);
        inbox.accept(frame(1, 1, 1, b"a")).unwrap();
        assert_eq!(
            inbox.accept(frame(2, 2, 1, &[0; 1024])).unwrap_err(),
            Kind::Violation
        );
        let mut inbox = Inbox::new(2 * MESSAGE_COST);
        inbox.accept(frame(1, 1, 1, b"a")).unwrap();
        inbox.consume(1 + MESSAGE_COST);
        inbox.accept(frame(2, 2, 1, &[0; 1024])).unwrap();
    }

    #[test]
    fn a_bye_inside_a_message_is_refused() {
        let mut inbox = Inbox::new(1 << 20);
        inbox.accept(frame(1, 1, 0, b"a")).unwrap();
        assert_eq!(inbox.accept_bye(2), Err(Kind::Violation));
    }
}

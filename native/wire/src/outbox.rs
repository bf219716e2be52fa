//! What one party still has to deliver to one peer: numbered frames, kept until a receipt.

use std::collections::VecDeque;

use crate::error::Kind;
use crate::proto::{Bye, Frame, Receipt};

/// A numbered thing on its way.
#[derive(Clone, Debug)]
pub enum Item {
    /// A piece of a message.
    Frame(Frame),
    /// The farewell.
    Bye(Bye),
}

/// Frames that are not yet in the peer's memory, and how far ahead this side may go.
#[derive(Debug)]
pub struct Outbox {
    window: Option<u64>,
    reserved: u64,
    consumed: u64,
    next_sequence: u64,
    next_message: u64,
    kept: VecDeque<Item>,
    cursor: usize,
    highest_sent: u64,
    tickets: VecDeque<u64>,
    next_ticket: u64,
}

impl Default for Outbox {
    fn default() -> Self {
        Outbox {
            window: None,
            reserved: 0,
            consumed: 0,
            next_sequence: 1,
            next_message: 1,
            kept: VecDeque::new(),
            cursor: 0,
            highest_sent: 0,
            tickets: VecDeque::new(),
            next_ticket: 0,
        }
    }
}

impl Outbox {
    /// The peer's window, once it is known.
    pub fn window(&self) -> Option<u64> {
        self.window
    }

    /// Joins the queue of those who want to send; the first in it is served first.
    pub fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.tickets.push_back(self.next_ticket);
        self.next_ticket
    }

    /// Leaves the queue.
    pub fn give_up(&mut self, ticket: u64) {
        self.tickets.retain(|&other| other != ticket);
    }

    /// Takes room for a whole message, so that a begun message can always be finished.
    /// Returns the number of the message.
    pub fn reserve(&mut self, ticket: u64, cost: u64) -> Option<u64> {
        let room = self.window? - (self.reserved - self.consumed);
        if self.tickets.front() != Some(&ticket) || cost > room {
            return None;
        }
        self.tickets.pop_front();
        self.reserved += cost;
        self.next_message += 1;
        Some(self.next_message - 1)
    }

    /// Appends a frame and gives it its number.
    pub fn push(&mut self, mut frame: Frame) {
        frame.sequence = self.next_sequence;
        self.next_sequence += 1;
        self.kept.push_back(Item::Frame(frame));
    }

    /// Appends the farewell.
    pub fn push_bye(&mut self) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.kept.push_back(Item::Bye(Bye { sequence }));
    }

    /// Takes the next thing to send, and returns whether it was sent before.
    pub fn advance(&mut self) -> Option<(Item, bool)> {
        let item = self.kept.get(self.cursor)?.clone();
        self.cursor += 1;
        let sequence = match &item {
            Item::Frame(frame) => frame.sequence,
            Item::Bye(bye) => bye.sequence,
        };
        let again = sequence <= self.highest_sent;
        self.highest_sent = self.highest_sent.max(sequence);
        Some((item, again))
    }

    /// Returns whether everything is in the peer's memory.
    pub fn is_delivered(&self) -> bool {
        self.kept.is_empty()
    }

    /// Forgets what the receipt covers.
    pub fn acknowledge(&mut self, receipt: &Receipt) -> Result<(), Kind> {
        if receipt.consumed > self.reserved {
            return Err(Kind::Violation);
        }
        self.consumed = self.consumed.max(receipt.consumed);
        self.forget(receipt.received)
    }

    /// Starts over on a new connection, from what the peer holds.
    pub fn resume(&mut self, received: u64, window: u64) -> Result<(), Kind> {
        // A window that shrank below what was reserved would make the room negative.
        if self.window.is_some_and(|known| known != window) {
            return Err(Kind::Violation);
        }
        self.forget(received)?;
        self.window = Some(window);
        self.cursor = 0;
        Ok(())
    }

    fn forget(&mut self, received: u64) -> Result<(), Kind> {
        if received > self.highest_sent {
            return Err(Kind::Violation);
        }
        let first = self.next_sequence - self.kept.len() as u64;
        let done = usize::try_from((received + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        self.kept.drain(..done.min(self.kept.len()));
        self.cursor = self.cursor.saturating_sub(done);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u64) -> Outbox {
        let mut outbox = Outbox::default();
        outbox.resume(0, 1000).unwrap();
        for _ in 0..count {
            outbox.push(Frame::default());
        }
        outbox
    }

    fn drain(outbox: &mut Outbox) -> Vec<(u64, bool)> {
        std::iter::from_fn(|| outbox.advance())
            .map(|(item, again)| match item {
                Item::Frame(frame) => (frame.sequence, again),
                Item::Bye(bye) => (bye.sequence, again),
            })
            .collect()
    }

    #[test]
    fn only_unacknowledged_frames_are_sent_again() {
        let mut outbox = filled(4);
        assert_eq!(drain(&mut outbox).len(), 4);
        outbox
            .acknowledge(&Receipt {
                received: 1,
                consumed: 0,
            })
            .unwrap();
        outbox.resume(2, 1000).unwrap();
        outbox.push_bye();
        assert_eq!(drain(&mut outbox), [(3, true), (4, true), (5, false)]);
        outbox
            .acknowledge(&Receipt {
                received: 5,
                consumed: 0,
            })
            .unwrap();
        assert!(outbox.is_delivered());
    }

    #[test]
    fn receipts_for_what_was_never_sent_are_refused() {
        let mut outbox = filled(2);
        let early = Receipt {
            received: 1,
            consumed: 0,
        };
        assert_eq!(outbox.acknowledge(&early), Err(Kind::Violation));
        let much = Receipt {
            received: 0,
            consumed: 1,
        };
        assert_eq!(outbox.acknowledge(&much), Err(Kind::Violation));
    }

    #[test]
    fn room_is_given_in_the_order_of_asking() {
        let mut outbox = filled(0);
        let (large, small) = (outbox.ticket(), outbox.ticket());
        assert_eq!(outbox.reserve(small, 10), None);
        assert_eq!(outbox.reserve(large, 995), Some(1));
        assert_eq!(outbox.reserve(small, 10), None);
        outbox
            .acknowledge(&Receipt {
                received: 0,
                consumed: 995,
            })
            .unwrap();
        assert_eq!(outbox.reserve(small, 10), Some(2));
    }
}

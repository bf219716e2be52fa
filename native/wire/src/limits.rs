//! Upper bounds on what a peer can make this process hold.

/// The largest body of one frame.
pub const FRAME_BYTES: usize = 1 << 20;
/// The largest message.
pub const MESSAGE_BYTES: usize = 64 << 20;
/// The largest encoded envelope: one frame with its names.
pub const ENVELOPE_BYTES: usize = FRAME_BYTES + 4096;
/// The longest job, task or tag, in bytes.
pub const NAME_BYTES: usize = 256;
/// What a message counts against the window besides its length.
pub const MESSAGE_COST: u64 = 1024;
/// The longest text of a code or phase in an abort.
pub const PHASE_BYTES: usize = 128;
/// The lowest and highest version of the protocol spoken here.
pub const VERSIONS: (u32, u32) = (1, 1);

/// What a message of `length` bytes counts against the window.
pub fn cost(length: usize) -> u64 {
    length as u64 + MESSAGE_COST
}

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

/// The longest label of a conversation.
pub const LABEL_BYTES: usize = 128;
/// The length of a worker's token.
pub const TOKEN_BYTES: usize = 32;
/// The longest kind of a call.
pub const KIND_BYTES: usize = 64;
/// The largest body of a call or of its answer.
pub const CALL_BYTES: usize = 16 << 20;
/// The largest encoded request or answer.
pub const CALL_REQUEST_BYTES: usize = CALL_BYTES + 4096;
/// The largest body of an enrolment or of its answer.
pub const ENROL_BYTES: usize = 16 << 10;
/// The largest of what is sent before a stream begins.
pub const HANDSHAKE_BYTES: usize = 4096;

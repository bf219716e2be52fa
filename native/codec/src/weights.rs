//! What Python's objects take, in bytes: upper bounds for 64-bit CPython, with the allocator's
//! rounding and what the readers above hold a second time (a list as a tuple).

/// A list without entries.
pub const LIST: u64 = 128;
/// An entry of a list.
pub const ENTRY: u64 = 16;
/// A map without entries.
pub const MAP: u64 = 64;
/// What a map with an entry takes at least.
pub const SMALL_MAP: u64 = 144;
/// An entry of a map, while the map grows, and its key's place among the interned texts.
pub const PAIR: u64 = 128;
/// Bytes without any.
pub const BYTES: u64 = 48;
/// An integer of at most 30 bits.
pub const INTEGER: u64 = 32;
/// A longer one.
pub const LONG_INTEGER: u64 = 48;
/// A float.
pub const FLOAT: u64 = 32;

/// What a text takes whose UTF-8 has `bytes` bytes, `characters` characters, of at most `width`
/// bytes each in memory; one that is not ASCII may keep its UTF-8 as well.
pub fn text(bytes: u64, characters: u64, width: u64) -> u64 {
    if bytes == characters {
        64 + bytes
    } else {
        96 + characters * width + bytes
    }
}

/// The characters of valid UTF-8, and how many bytes the widest takes in memory.
pub fn measure(bytes: &[u8]) -> (u64, u64) {
    let (mut continued, mut highest) = (0u64, 0u8);
    for &byte in bytes {
        continued += u64::from(byte & 0xC0 == 0x80);
        highest = highest.max(byte);
    }
    // Lead bytes: up to 0xC3 for characters below U+0100, from 0xF0 for those beyond U+FFFF.
    let width = match highest {
        0xF0.. => 4,
        0xC4.. => 2,
        _ => 1,
    };
    (bytes.len() as u64 - continued, width)
}

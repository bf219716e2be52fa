//! JSON as `json.loads` will read it: not whether it is right, but what it would take.

use crate::Refusal;
use crate::weights::{self, measure};

/// An entry of a list: its place, the list's room to grow, and the checks' own lists.
const ENTRY: u64 = 48;
/// An entry of a map: the pair that the reader makes first, the map's entry, a key seen before.
const PAIR: u64 = 224;
/// A list or a map.
const CONTAINER: u64 = 256;

/// Checks that a text of JSON is UTF-8, nests at most `depth` deep, and that reading it takes at
/// most `memory` bytes; returns what it takes. Reading may still refuse it: this counts alone.
pub fn check(data: &[u8], depth: usize, memory: u64) -> Result<u64, Refusal> {
    if !data.is_ascii() {
        std::str::from_utf8(data).map_err(|_| Refusal::Text)?;
    }
    let (characters, width) = measure(data);
    // The text itself, as Python holds it while it reads.
    let mut spent = characters * width;
    let (mut at, mut deep) = (0, 0usize);
    while at < data.len() {
        let cost = match data[at] {
            b'"' => {
                let end = end_of_text(data, at + 1);
                let text = &data[at + 1..end.min(data.len())];
                at = end;
                cost_of_text(text)
            }
            b'[' | b'{' => {
                deep += 1;
                if deep > depth {
                    return Err(Refusal::Depth);
                }
                CONTAINER
            }
            b']' | b'}' => {
                deep = deep.saturating_sub(1);
                0
            }
            b',' => ENTRY,
            b':' => PAIR,
            b' ' | b'\n' | b'\r' | b'\t' => 0,
            _ => {
                let start = at;
                while at + 1 < data.len() && !is_structure(data[at + 1]) {
                    at += 1;
                }
                // The number's text, for a moment, and the number.
                2 * weights::LONG_INTEGER + (at - start) as u64
            }
        };
        spent = spent.saturating_add(cost);
        if spent > memory {
            return Err(Refusal::Memory);
        }
        at += 1;
    }
    if spent > memory {
        return Err(Refusal::Memory);
    }
    Ok(spent)
}

fn is_structure(byte: u8) -> bool {
    matches!(
        byte,
        b'"' | b'[' | b']' | b'{' | b'}' | b',' | b':' | b' ' | b'\n' | b'\r' | b'\t'
    )
}

/// The place of the quote that ends a text, or the end of the data.
fn end_of_text(data: &[u8], mut at: usize) -> usize {
    while at < data.len() {
        match data[at] {
            b'"' => break,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn cost_of_text(text: &[u8]) -> u64 {
    let (characters, mut width) = measure(text);
    // An escape may write any character, and the reader then joins pieces.
    let escaped = text.contains(&b'\\');
    if escaped {
        width = if holds(text, b"\\u") { 4 } else { width };
    }
    let bytes = text.len() as u64;
    let pieces = if escaped { 8 * bytes } else { 0 };
    weights::text(bytes, characters.min(bytes), width).max(96 + characters * width) + pieces
}

fn holds(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests;

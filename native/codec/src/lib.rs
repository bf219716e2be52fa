//! Judges bytes of others before anything is built from them: one pass, no allocation.
//!
//! A byte can become an object of a hundred bytes. The checks add up what Python's objects will
//! take, and refuse bytes whose value costs more than the caller allows.

mod json;
mod msgpack;
mod weights;

pub use json::check as check_json;
pub use msgpack::check as check_msgpack;

/// How deep the canonical codec nests; the same as in `core/codec`.
pub const DEPTH: usize = 32;

/// Why bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// They end within a value, or go on after it.
    Length,
    /// A value is not in its one canonical form, or of a type that has none.
    Form,
    /// A text is not UTF-8.
    Text,
    /// The keys of a map are not text in strictly rising order.
    Keys,
    /// They are nested too deeply.
    Depth,
    /// Their value would take more memory than is allowed.
    Memory,
}

impl Refusal {
    /// A few words for an error's text.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::Length => "it is cut short or goes on after its end",
            Refusal::Form => "a value is not in its canonical form",
            Refusal::Text => "a text is not UTF-8",
            Refusal::Keys => "the keys of a map are not texts in order",
            Refusal::Depth => "it is nested too deeply",
            Refusal::Memory => "it has more structure than its size allows",
        }
    }
}

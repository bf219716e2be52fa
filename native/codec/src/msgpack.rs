//! The canonical subset of msgpack: shortest forms, text keys in strictly rising order, no
//! extension types (docs/decisions/0032).

use crate::weights;
use crate::{DEPTH, Refusal};

struct Level<'a> {
    left: u64,
    keyed: bool,
    at_key: bool,
    last: Option<&'a [u8]>,
}

struct Scan<'a> {
    rest: &'a [u8],
    spent: u64,
    memory: u64,
}

/// Checks that bytes are one canonical value whose objects take at most `memory` bytes; returns
/// what they take. Of the checks, size comes first: no header is believed beyond the bytes there.
pub fn check(data: &[u8], memory: u64) -> Result<u64, Refusal> {
    let mut scan = Scan {
        rest: data,
        spent: 0,
        memory,
    };
    let mut levels: [Level<'_>; DEPTH] = std::array::from_fn(|_| Level {
        left: 0,
        keyed: false,
        at_key: false,
        last: None,
    });
    let mut depth = 0;
    loop {
        // Whoever holds the value that comes now.
        if depth > 0 {
            let level = &mut levels[depth - 1];
            if level.at_key {
                level.at_key = false;
                let key = scan.key()?;
                if level.last.is_some_and(|last| last >= key) {
                    return Err(Refusal::Keys);
                }
                level.last = Some(key);
            }
            level.left -= 1;
            level.at_key = level.keyed;
        }
        if let Some((entries, keyed)) = scan.value()?
            && entries > 0
        {
            if depth == DEPTH {
                return Err(Refusal::Depth);
            }
            levels[depth] = Level {
                left: entries,
                keyed,
                at_key: keyed,
                last: None,
            };
            depth += 1;
        }
        while depth > 0 && levels[depth - 1].left == 0 {
            depth -= 1;
        }
        if depth == 0 {
            break;
        }
    }
    if scan.rest.is_empty() {
        Ok(scan.spent)
    } else {
        Err(Refusal::Length)
    }
}

impl<'a> Scan<'a> {
    fn spend(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > self.memory {
            return Err(Refusal::Memory);
        }
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Refusal> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(Refusal::Length)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Refusal> {
        Ok(self.take(1)?[0])
    }

    /// A number of 1, 2, 4 or 8 bytes that does not fit into a shorter form.
    fn number(&mut self, bytes: usize, least: u64) -> Result<u64, Refusal> {
        let mut value = 0;
        for &byte in self.take(bytes)? {
            value = value << 8 | u64::from(byte);
        }
        if value < least {
            return Err(Refusal::Form);
        }
        Ok(value)
    }

    fn unsigned(&mut self, bytes: usize, least: u64) -> Result<(), Refusal> {
        let value = self.number(bytes, least)?;
        self.integer(value, value <= 256)
    }

    fn signed(&mut self, bytes: usize, most: i64) -> Result<(), Refusal> {
        let shift = 64 - 8 * bytes as u32;
        let value = ((self.number(bytes, 0)? << shift) as i64) >> shift;
        if value > most {
            return Err(Refusal::Form);
        }
        self.integer(value.unsigned_abs(), false)
    }

    fn integer(&mut self, magnitude: u64, shared: bool) -> Result<(), Refusal> {
        self.spend(if shared {
            0
        } else if magnitude < 1 << 30 {
            weights::INTEGER
        } else {
            weights::LONG_INTEGER
        })
    }

    fn text(&mut self, length: u64) -> Result<&'a [u8], Refusal> {
        let bytes = self.take(usize::try_from(length).map_err(|_| Refusal::Length)?)?;
        let (characters, width) = if bytes.is_ascii() {
            (length, 1)
        } else {
            std::str::from_utf8(bytes).map_err(|_| Refusal::Text)?;
            weights::measure(bytes)
        };
        self.spend(weights::text(length, characters, width))?;
        Ok(bytes)
    }

    fn blob(&mut self, length: u64) -> Result<(), Refusal> {
        self.take(usize::try_from(length).map_err(|_| Refusal::Length)?)?;
        self.spend(weights::BYTES + length)
    }

    fn key(&mut self) -> Result<&'a [u8], Refusal> {
        let length = match self.byte()? {
            first @ 0xA0..=0xBF => u64::from(first & 0x1F),
            0xD9 => self.number(1, 32)?,
            0xDA => self.number(2, 1 << 8)?,
            0xDB => self.number(4, 1 << 16)?,
            _ => return Err(Refusal::Keys),
        };
        self.text(length)
    }

    /// Entries that the bytes cannot hold are refused with the header.
    fn list(&mut self, entries: u64) -> Result<Option<(u64, bool)>, Refusal> {
        if entries > self.rest.len() as u64 {
            return Err(Refusal::Length);
        }
        self.spend(weights::LIST + weights::ENTRY * entries)?;
        Ok(Some((entries, false)))
    }

    fn map(&mut self, entries: u64) -> Result<Option<(u64, bool)>, Refusal> {
        if 2 * entries > self.rest.len() as u64 {
            return Err(Refusal::Length);
        }
        let table = if entries == 0 { 0 } else { weights::SMALL_MAP };
        self.spend(weights::MAP + table + weights::PAIR * entries)?;
        Ok(Some((entries, true)))
    }

    /// Reads a value; of a list or a map only its header: how many entries, and whether by key.
    fn value(&mut self) -> Result<Option<(u64, bool)>, Refusal> {
        match self.byte()? {
            0x00..=0x7F | 0xC0 | 0xC2 | 0xC3 => {}
            first @ 0xE0..=0xFF => {
                self.integer(u64::from(0u8.wrapping_sub(first)), first >= 0xFB)?
            }
            first @ 0xA0..=0xBF => drop(self.text(u64::from(first & 0x1F))?),
            first @ 0x90..=0x9F => return self.list(u64::from(first & 0x0F)),
            first @ 0x80..=0x8F => return self.map(u64::from(first & 0x0F)),
            0xC4 => {
                let length = self.number(1, 0)?;
                self.blob(length)?;
            }
            0xC5 => {
                let length = self.number(2, 1 << 8)?;
                self.blob(length)?;
            }
            0xC6 => {
                let length = self.number(4, 1 << 16)?;
                self.blob(length)?;
            }
            0xCB => {
                self.take(8)?;
                self.spend(weights::FLOAT)?;
            }
            0xCC => self.unsigned(1, 1 << 7)?,
            0xCD => self.unsigned(2, 1 << 8)?,
            0xCE => self.unsigned(4, 1 << 16)?,
            0xCF => self.unsigned(8, 1 << 32)?,
            0xD0 => self.signed(1, -33)?,
            0xD1 => self.signed(2, i64::from(i8::MIN) - 1)?,
            0xD2 => self.signed(4, i64::from(i16::MIN) - 1)?,
            0xD3 => self.signed(8, i64::from(i32::MIN) - 1)?,
            0xD9 => {
                let length = self.number(1, 32)?;
                self.text(length)?;
            }
            0xDA => {
                let length = self.number(2, 1 << 8)?;
                self.text(length)?;
            }
            0xDB => {
                let length = self.number(4, 1 << 16)?;
                self.text(length)?;
            }
            0xDC => {
                let entries = self.number(2, 16)?;
                return self.list(entries);
            }
            0xDD => {
                let entries = self.number(4, 1 << 16)?;
                return self.list(entries);
            }
            0xDE => {
                let entries = self.number(2, 16)?;
                return self.map(entries);
            }
            0xDF => {
                let entries = self.number(4, 1 << 16)?;
                return self.map(entries);
            }
            // Unused, 32-bit floats, and all extension types.
            0xC1 | 0xC7..=0xCA | 0xD4..=0xD8 => return Err(Refusal::Form),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;

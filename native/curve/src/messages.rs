//! What is hashed to the curve: many messages in one buffer, under one tag.

/// A domain separation tag with its length behind it.
pub struct Domain(Vec<u8>);

impl Domain {
    /// The tag with its length behind it.
    pub(crate) fn suffix(&self) -> &[u8] {
        &self.0
    }

    /// From a tag of 1 to 255 bytes; `None` for other lengths.
    pub fn new(tag: &[u8]) -> Option<Domain> {
        let length = u8::try_from(tag.len()).ok().filter(|length| *length > 0)?;
        Some(Domain([tag, &[length]].concat()))
    }
}

/// Many messages in one buffer.
#[derive(Clone, Copy)]
pub struct Messages<'a> {
    bytes: &'a [u8],
    offsets: &'a [i64],
}

impl<'a> Messages<'a> {
    /// Message i is `bytes[offsets[i]..offsets[i + 1]]`. `None` unless the offsets ascend within the buffer.
    pub fn new(bytes: &'a [u8], offsets: &'a [i64]) -> Option<Messages<'a>> {
        let first = *offsets.first()?;
        let last = usize::try_from(*offsets.last()?).ok()?;
        let ascending = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        (first >= 0 && ascending && last <= bytes.len()).then_some(Messages { bytes, offsets })
    }

    /// How many messages.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One message.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        &self.bytes[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }

    /// Parts of at most `size` messages.
    pub(crate) fn split(&self, size: usize) -> Vec<Messages<'a>> {
        let parts = (0..self.len()).step_by(size);
        parts
            .map(|start| {
                let end = self.len().min(start + size);
                Messages {
                    bytes: self.bytes,
                    offsets: &self.offsets[start..=end],
                }
            })
            .collect()
    }
}

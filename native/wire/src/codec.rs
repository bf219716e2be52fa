//! Envelopes as bytes: protobuf in its one canonical form, nothing unknown, nothing twice.

use bytes::Buf;
use prost::Message;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::limits::FRAME_BYTES;

/// The codec of the one method; both directions carry envelopes.
#[derive(Debug, Clone)]
pub struct EnvelopeCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for EnvelopeCodec<T, U> {
    fn default() -> Self {
        EnvelopeCodec(PhantomData)
    }
}

impl<T, U> Codec for EnvelopeCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = EnvelopeCodec<T, U>;
    type Decoder = EnvelopeCodec<T, U>;

    fn encoder(&mut self) -> Self::Encoder {
        Self::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Self::default()
    }
}

impl<T: Message, U> Encoder for EnvelopeCodec<T, U> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // One allocation of the right size instead of growing step by step.
        buffer.reserve(item.encoded_len());
        item.encode(buffer)
            .map_err(|_| Status::internal("the envelope does not fit"))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(8 << 10, FRAME_BYTES)
    }
}

impl<T, U: Message + Default> Decoder for EnvelopeCodec<T, U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        read(buffer).map(Some).map_err(Status::internal)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(16 << 10, FRAME_BYTES)
    }
}

/// Reads a message in its canonical form.
pub fn read<U: Message + Default>(buffer: impl Buf) -> Result<U, &'static str> {
    let length = buffer.remaining();
    let item = U::decode(buffer).map_err(|_| "malformed envelope")?;
    // Unknown or repeated fields, defaults spelled out and long integers change the length.
    if item.encoded_len() != length {
        return Err("the envelope is not canonical");
    }
    Ok(item)
}

#[cfg(test)]
mod tests {
    use crate::proto::{Envelope, Heartbeat, envelope::Content};
    use prost::Message;

    #[test]
    fn a_heartbeat_is_two_bytes_long() {
        let beat = Envelope {
            receipt: None,
            content: Some(Content::Heartbeat(Heartbeat {})),
        };
        assert_eq!(beat.encode_to_vec(), [0x3a, 0x00]);
    }
}

//! What is sent once on a bare stream before it becomes something else: a length, then a message.

use prost::Message;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::codec;
use crate::error::Kind;
use crate::limits::HANDSHAKE_BYTES;
use crate::proto::Routed;

/// The form of a code that a peer reports.
pub fn is_code(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
    text.starts_with("ATL-") && text.len() <= 32 && text.bytes().all(plain)
}

/// Writes one message.
pub async fn write<S, M>(stream: &mut S, message: &M) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
    M: Message,
{
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut whole = Vec::with_capacity(4 + body.len());
    whole.extend_from_slice(&length.to_be_bytes());
    whole.extend_from_slice(&body);
    stream.write_all(&whole).await?;
    stream.flush().await
}

/// Reads one message of at most `limit` bytes, and nothing of what follows it.
pub async fn read<S, M>(stream: &mut S, limit: usize) -> io::Result<M>
where
    S: AsyncRead + Unpin,
    M: Message + Default,
{
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > limit {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    codec::read(body.as_slice()).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Answers a attach or a route.
pub async fn routed<S: AsyncWrite + Unpin>(stream: &mut S, code: &str) -> io::Result<()> {
    let code = code.to_owned();
    write(stream, &Routed { code }).await
}

/// Reads whether there is a way; if not, why.
pub async fn await_routed<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Result<(), Kind>> {
    let answer: Routed = read(stream, HANDSHAKE_BYTES).await?;
    Ok(match answer.code.as_str() {
        "" => Ok(()),
        code => Err(Kind::of_code(code).unwrap_or(Kind::Unreachable)),
    })
}

//! The encrypted stream under HTTP/2: it can be cut from outside, counts bytes, and remembers faults.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::error::Kind;
use crate::tls;

/// What is known of a connection from outside.
#[derive(Debug, Default)]
pub struct Meter {
    read: AtomicU64,
    written: AtomicU64,
    fault: Mutex<Option<Kind>>,
}

impl Meter {
    /// The first failure of TLS on this connection.
    pub fn fault(&self) -> Option<Kind> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes written and read so far.
    pub fn totals(&self) -> (u64, u64) {
        let written = self.written.load(Ordering::Relaxed);
        (written, self.read.load(Ordering::Relaxed))
    }

    fn note(&self, error: &io::Error) {
        if let Some(kind) = tls::stream_kind(error) {
            let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
            fault.get_or_insert(kind);
        }
    }
}

/// Cuts a connection when called or dropped.
#[derive(Debug)]
pub struct Cutter {
    _sender: oneshot::Sender<()>,
}

/// A stream with a cutter and a meter.
pub struct MeteredStream<S> {
    stream: S,
    cut: oneshot::Receiver<()>,
    is_cut: bool,
    meter: Arc<Meter>,
}

impl<S> MeteredStream<S> {
    /// Wraps a stream.
    pub fn new(stream: S) -> (Self, Cutter, Arc<Meter>) {
        let (sender, cut) = oneshot::channel();
        let meter = Arc::new(Meter::default());
        let stream = MeteredStream {
            stream,
            cut,
            is_cut: false,
            meter: meter.clone(),
        };
        (stream, Cutter { _sender: sender }, meter)
    }

    fn refuse_if_cut(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.is_cut = self.is_cut || Pin::new(&mut self.cut).poll(context).is_ready();
        if self.is_cut {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MeteredStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.refuse_if_cut(context)?;
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        match &result {
            Poll::Ready(Ok(())) => {
                let count = (buffer.filled().len() - before) as u64;
                self.meter.read.fetch_add(count, Ordering::Relaxed);
            }
            Poll::Ready(Err(error)) => self.meter.note(error),
            Poll::Pending => {}
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> MeteredStream<S> {
    fn count(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(count)) => {
                self.meter
                    .written
                    .fetch_add(*count as u64, Ordering::Relaxed);
            }
            Poll::Ready(Err(error)) => self.meter.note(error),
            Poll::Pending => {}
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MeteredStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, data);
        self.count(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.count(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

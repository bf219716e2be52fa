//! Joining two byte streams: what comes from one goes to the other, with bounded memory.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep};

/// Bytes held per direction at first.
const SMALL_BUFFER: usize = 16 << 10;
/// Bytes held per direction at most.
const BUFFER: usize = 256 << 10;
/// How long one direction may go on after the other has ended, and how long what cannot be
/// delivered is kept after its sender is gone.
const GRACE: Duration = Duration::from_secs(5);
/// How often a direction that cannot go on looks whether its sender is still there.
const TICK: Duration = Duration::from_secs(1);

/// One of the two streams.
pub trait End: AsyncRead + AsyncWrite + Unpin {
    /// Whether the other side will send no more, even if not everything was read yet.
    fn is_gone(&self, context: &mut Context<'_>) -> bool;

    /// Makes closing it final: what was not delivered is not waited for.
    fn abandon(&self) {}
}

fn closed(ready: Poll<io::Result<tokio::io::Ready>>) -> bool {
    matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
}

impl End for UnixStream {
    fn is_gone(&self, context: &mut Context<'_>) -> bool {
        closed(pin!(self.ready(Interest::READABLE)).poll(context))
    }
}

impl End for TcpStream {
    fn is_gone(&self, context: &mut Context<'_>) -> bool {
        closed(pin!(self.ready(Interest::READABLE)).poll(context))
    }

    fn abandon(&self) {
        let _ = self.set_zero_linger();
    }
}

impl<S: End> End for tokio_rustls::client::TlsStream<S> {
    fn is_gone(&self, context: &mut Context<'_>) -> bool {
        self.get_ref().0.is_gone(context)
    }

    fn abandon(&self) {
        self.get_ref().0.abandon();
    }
}

impl<S: End> End for tokio_rustls::server::TlsStream<S> {
    fn is_gone(&self, context: &mut Context<'_>) -> bool {
        self.get_ref().0.is_gone(context)
    }

    fn abandon(&self) {
        self.get_ref().0.abandon();
    }
}

/// Bytes that went towards the partner, and came from it.
#[derive(Debug, Default)]
pub struct ByteCounter {
    /// Towards the partner.
    pub sent: AtomicU64,
    /// From the partner.
    pub received: AtomicU64,
}

impl ByteCounter {
    /// Both, so far.
    pub fn totals(&self) -> (u64, u64) {
        let sent = self.sent.load(Ordering::Relaxed);
        (sent, self.received.load(Ordering::Relaxed))
    }
}

/// One direction.
struct Half {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    unflushed: bool,
    ended: bool,
    done: bool,
    moved: u64,
}

impl Half {
    fn new() -> Self {
        Half {
            buffer: vec![0; SMALL_BUFFER],
            start: 0,
            end: 0,
            unflushed: false,
            ended: false,
            done: false,
            moved: 0,
        }
    }

    /// Moves what can be moved now; ready when the end was passed on.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        from: &mut impl End,
        to: &mut impl End,
    ) -> Poll<io::Result<()>> {
        if self.done {
            return Poll::Ready(Ok(()));
        }
        loop {
            let wrote = self.write(context, to)?;
            let read = self.read(context, from)?;
            if wrote || read {
                continue;
            }
            if self.start < self.end || !self.ended {
                break;
            }
            std::task::ready!(Pin::new(&mut *to).poll_shutdown(context))?;
            self.done = true;
            return Poll::Ready(Ok(()));
        }
        if self.unflushed && Pin::new(&mut *to).poll_flush(context)?.is_ready() {
            self.unflushed = false;
        }
        Poll::Pending
    }

    fn write(&mut self, context: &mut Context<'_>, to: &mut impl End) -> io::Result<bool> {
        if self.start == self.end {
            return Ok(false);
        }
        let data = &self.buffer[self.start..self.end];
        let count = match Pin::new(to).poll_write(context, data) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(count) => count?,
            Poll::Pending => return Ok(false),
        };
        self.start += count;
        self.moved += count as u64;
        self.unflushed = true;
        if self.start == self.end {
            self.start = 0;
            if self.end == self.buffer.len() && self.end < BUFFER {
                self.buffer = vec![0; BUFFER];
            }
            self.end = 0;
        }
        Ok(true)
    }

    fn read(&mut self, context: &mut Context<'_>, from: &mut impl End) -> io::Result<bool> {
        if self.ended || self.end == self.buffer.len() {
            return Ok(false);
        }
        let mut room = ReadBuf::new(&mut self.buffer[self.end..]);
        match Pin::new(from).poll_read(context, &mut room) {
            Poll::Ready(Ok(())) => {
                let count = room.filled().len();
                self.end += count;
                self.ended = count == 0;
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(false),
        }
    }

    fn is_stuck(&self) -> bool {
        self.start < self.end
    }
}

/// Two streams that are being joined.
pub struct Splice<'a, N: End, F: End> {
    near: N,
    far: F,
    out: Half,
    back: Half,
    tallies: &'a [&'a ByteCounter],
    timer: Pin<Box<Sleep>>,
    ticking: bool,
    seen: u64,
    moved_at: Instant,
}

impl<'a, N: End, F: End> Splice<'a, N, F> {
    /// Joins a worker's stream (near) and a partner's (far); what goes and comes is tallied.
    pub fn new(near: N, far: F, tallies: &'a [&'a ByteCounter]) -> Self {
        let now = Instant::now();
        Splice {
            near,
            far,
            out: Half::new(),
            back: Half::new(),
            tallies,
            timer: Box::pin(tokio::time::sleep_until(now + TICK)),
            ticking: false,
            seen: 0,
            moved_at: now,
        }
    }

    fn tally(&self, before: (u64, u64)) {
        let (sent, received) = (self.out.moved - before.0, self.back.moved - before.1);
        for tally in self.tallies {
            if sent > 0 {
                tally.sent.fetch_add(sent, Ordering::Relaxed);
            }
            if received > 0 {
                tally.received.fetch_add(received, Ordering::Relaxed);
            }
        }
    }

    /// Returns whether nothing more can come of it: a direction is over or its sender gone, and
    /// nothing has moved for a while.
    fn is_vain(&mut self, context: &mut Context<'_>) -> bool {
        let moved = self.out.moved + self.back.moved;
        if moved != self.seen {
            self.seen = moved;
            self.moved_at = Instant::now();
        }
        let over = self.out.done
            || self.back.done
            || self.out.is_stuck() && self.near.is_gone(context)
            || self.back.is_stuck() && self.far.is_gone(context);
        over && self.moved_at.elapsed() >= GRACE
    }
}

impl<N: End, F: End> Drop for Splice<'_, N, F> {
    fn drop(&mut self) {
        // Otherwise the other gateway might wait for an end behind data that no one reads.
        if !(self.out.done && self.back.done) {
            self.near.abandon();
            self.far.abandon();
        }
    }
}

impl<N: End, F: End> Future for Splice<'_, N, F> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = (this.out.moved, this.back.moved);
        let out = this.out.poll(context, &mut this.near, &mut this.far);
        let back = this.back.poll(context, &mut this.far, &mut this.near);
        this.tally(before);
        if let (Poll::Ready(out), Poll::Ready(back)) = (&out, &back) {
            return Poll::Ready(if out.is_err() || back.is_err() {
                Err(io::ErrorKind::BrokenPipe.into())
            } else {
                Ok(())
            });
        }
        if matches!(out, Poll::Ready(Err(_))) || matches!(back, Poll::Ready(Err(_))) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        // Only what may be in vain is looked at again and again.
        let waits = this.out.done || this.back.done || this.out.is_stuck() || this.back.is_stuck();
        if waits && !this.ticking {
            this.timer.as_mut().reset(Instant::now() + TICK);
        }
        this.ticking = waits;
        while this.ticking && this.timer.as_mut().poll(context).is_ready() {
            if this.is_vain(context) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            this.timer.as_mut().reset(Instant::now() + TICK);
        }
        Poll::Pending
    }
}

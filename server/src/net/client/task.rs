//! One connection: bytes in, bytes out, and the time.
//!
//! The task owns the socket and nothing else does. Requests are served on it, straight from the
//! buffer that all tasks of a thread read into; only what is left of an unfinished request is
//! kept. Output is taken from the connection's buffer and written in one piece.

use crate::admin::four_letter;
use crate::service::{
    CloseReason, Connection, NextFrame, Phase, Service, WriteRequest, next_frame,
};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// Capacity that an idle connection's buffers may keep.
const IDLE_CAPACITY: usize = 16 << 10;
/// How long the last bytes of a closed connection may take.
const LINGER: Duration = Duration::from_secs(2);
/// Reads of what a closed connection still sends.
const LINGER_READS: u32 = 64;
/// Rounds before the task lets others of its thread go first.
const ROUNDS: u32 = 16;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// The time as the service takes it, which knows no timers.
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// What ends a connection without a reason of the service's.
enum End {
    /// The other side closed it, or the socket broke.
    Gone,
    /// All is said.
    Done,
}

pub(super) struct Task<S> {
    service: Arc<Service>,
    connection: Arc<Connection>,
    forget: Forget,
    stream: S,
    /// The stream may hold back what was written to it, as TLS does.
    unflushed: bool,
    /// The rest of a request whose end has not come, or requests that a bound holds back.
    input: Vec<u8>,
    held_back: bool,
    /// It waits for its turn; what comes meanwhile is kept, up to a bound, with the time it came.
    waits: bool,
    sending: Vec<u8>,
    sent: usize,
    writes: Vec<WriteRequest>,
    last_heard: Instant,
    /// The timer runs for the session, no longer for the handshake.
    timed_by_session: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Task<S> {
    pub(super) fn new(forget: Forget, stream: S) -> Self {
        Task {
            service: Arc::clone(&forget.0),
            connection: Arc::clone(&forget.1),
            forget,
            stream,
            unflushed: false,
            input: Vec::new(),
            held_back: false,
            waits: false,
            sending: Vec::new(),
            sent: 0,
            writes: Vec::new(),
            last_heard: Instant::now(),
            timed_by_session: false,
        }
    }

    /// Serves the connection until it ends.
    pub(super) async fn run(mut self) {
        let handshake = Duration::from_millis(self.service.settings.handshake_ms);
        let mut timer = Box::pin(tokio::time::sleep(handshake));
        let end = poll_fn(|cx| self.poll(cx, timer.as_mut())).await;
        let reason = {
            let mut state = self.connection.state.lock();
            state.close(CloseReason::ClientGone);
            state.close
        };
        tracing::debug!(peer = %self.connection.peer, ?reason, "connection closed");
        drop(self.forget);
        if matches!(end, End::Done) {
            // A client that does not let go in time loses nothing but what it had not read.
            let _ = tokio::time::timeout(LINGER, let_go(&mut self.stream)).await;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<End> {
        self.connection.waker.register(cx.waker());
        for _ in 0..ROUNDS {
            let mut progress = self.connection.signalled.swap(false, Ordering::AcqRel);
            if progress || self.held_back {
                self.serve_kept();
            }
            match self.poll_send(cx) {
                Ok(sent) => {
                    progress |= sent;
                    if sent && self.held_back {
                        // Nothing is read from it meanwhile, its pings not either; but it lives.
                        self.last_heard = Instant::now();
                        self.connection.heard.store(true, Ordering::Relaxed);
                    }
                }
                Err(_) => return Poll::Ready(End::Gone),
            }
            let phase = self.connection.state.lock().phase;
            if phase == Phase::Closed {
                return self.poll_last_words(cx, timer.as_mut());
            }
            if phase == Phase::Open && !mem::replace(&mut self.timed_by_session, true) {
                // The handshake's time may be longer than the session's.
                timer.as_mut().reset(Instant::now());
            }
            match self.poll_receive(cx) {
                Ok(received) => progress |= received,
                Err(_) => return Poll::Ready(End::Gone),
            }
            if !progress {
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                if let Some(until) = self.silent_until() {
                    timer.as_mut().reset(until);
                } else {
                    self.connection.close(CloseReason::Silent);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// When the client has been silent for too long, `None` if it has.
    fn silent_until(&self) -> Option<Instant> {
        let allowed = {
            let state = self.connection.state.lock();
            match state.phase {
                Phase::Open => u64::try_from(state.timeout_ms).unwrap_or(0),
                _ => self.service.settings.handshake_ms,
            }
        };
        let until = self.last_heard + Duration::from_millis(allowed);
        (until > Instant::now()).then_some(until)
    }

    /// Nothing is served any more: sends what is left, for a while.
    fn poll_last_words(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<End> {
        let slow = self.connection.state.lock().close == Some(CloseReason::SlowReader);
        if slow {
            return Poll::Ready(End::Gone);
        }
        loop {
            match self.poll_send(cx) {
                Ok(true) => {}
                Ok(false) if self.sent == self.sending.len() && !self.unflushed => {
                    return Poll::Ready(End::Done);
                }
                Ok(false) => break,
                Err(_) => return Poll::Ready(End::Gone),
            }
        }
        let latest = Instant::now() + LINGER;
        if timer.deadline() > latest {
            timer.as_mut().reset(latest);
        }
        match timer.poll(cx) {
            Poll::Ready(()) => Poll::Ready(End::Gone),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes what waits. True if anything went out.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut any = false;
        loop {
            if self.sent == self.sending.len() && !self.take_output() {
                return self.poll_flush(cx).map(|()| any);
            }
            let rest = &self.sending[self.sent..];
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(sent)) => {
                    self.sent += sent;
                    self.unflushed = true;
                    any = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.connection.state.lock().sending = self.sending.len() - self.sent;
                    return Ok(any);
                }
            }
        }
    }

    /// Has the stream send what it holds back, as far as the socket takes it now.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(flushed) => {
                    flushed?;
                    self.unflushed = false;
                }
                Poll::Pending => {}
            }
        }
        Ok(())
    }

    /// Takes all output that has gathered. The empty buffer goes the other way, to be filled.
    fn take_output(&mut self) -> bool {
        self.sending.clear();
        self.sent = 0;
        if self.sending.capacity() > IDLE_CAPACITY {
            self.sending = Vec::new();
        }
        let mut state = self.connection.state.lock();
        state.sending = 0;
        if state.out.is_empty() {
            return false;
        }
        let empty = crate::jute::Writer::over(mem::take(&mut self.sending));
        self.sending = mem::replace(&mut state.out, empty).into_vec();
        state.sending = self.sending.len();
        let packets = mem::take(&mut state.out_packets);
        state.info.sent += packets;
        drop(state);
        self.service.stats.sent(packets);
        true
    }

    /// Reads once and serves it. True if anything came.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let opening = self.connection.state.lock().phase == Phase::Opening;
        let kept = self.held_back && self.waits;
        let full = self.input.len() >= READ_BYTES;
        if (self.held_back && (!kept || full)) || (opening && !self.input.is_empty()) {
            return Ok(false);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => Ok(false),
                Poll::Ready(Err(error)) => Err(error),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    Err(io::ErrorKind::UnexpectedEof.into())
                }
                // Not heard from: it is as if nothing were read until its turn comes.
                Poll::Ready(Ok(())) if kept => {
                    let bytes = buffer.filled();
                    self.input.extend_from_slice(bytes);
                    let mut state = self.connection.state.lock();
                    state.arrivals.came(now(), bytes.len());
                    Ok(true)
                }
                Poll::Ready(Ok(())) => {
                    self.last_heard = Instant::now();
                    self.receive(buffer.filled());
                    Ok(true)
                }
            }
        })
    }

    fn receive(&mut self, bytes: &[u8]) {
        if self.input.is_empty() {
            let consumed = self.serve(bytes);
            self.input.extend_from_slice(&bytes[consumed..]);
        } else {
            self.input.extend_from_slice(bytes);
            self.serve_kept();
        }
    }

    /// Serves what was kept, and the reads that have waited for a write.
    fn serve_kept(&mut self) {
        let mut input = mem::take(&mut self.input);
        let consumed = self.serve(&input);
        input.drain(..consumed);
        if input.is_empty() && input.capacity() > IDLE_CAPACITY {
            input = Vec::new();
        }
        self.input = input;
    }

    /// Serves from the front of `input`; returns how much of it is done with.
    fn serve(&mut self, input: &[u8]) -> usize {
        let phase = self.connection.state.lock().phase;
        match phase {
            Phase::New => self.serve_first(input),
            Phase::Opening | Phase::Closed => 0,
            Phase::Open => {
                let served = self
                    .service
                    .serve(&self.connection, input, &mut self.writes);
                self.held_back = served.held_back;
                self.waits = served.waits;
                for write in self.writes.drain(..) {
                    self.service.submit(write);
                }
                served.consumed
            }
        }
    }

    /// The first packet: a four-letter word or a connect request.
    fn serve_first(&mut self, input: &[u8]) -> usize {
        if let Some(word) = four_letter::word(input) {
            let answer = four_letter::answer(&self.service, word);
            let mut state = self.connection.state.lock();
            state.out.raw(answer.as_bytes());
            state.info.received += 1;
            state.close(CloseReason::Answered);
            drop(state);
            self.service.stats.received(1);
            self.connection.wake();
            return 4;
        }
        match next_frame(input, self.service.settings.jute_max_buffer) {
            NextFrame::Incomplete => 0,
            NextFrame::BadLength(len) => {
                tracing::warn!(peer = %self.connection.peer, len,
                    "closing a connection: its first packet's length makes no sense");
                self.connection.close(CloseReason::BadPacket);
                0
            }
            NextFrame::Whole(packet) => {
                self.service.stats.received(1);
                self.service.connect(&self.connection, packet);
                self.connection.wake();
                4 + packet.len()
            }
        }
    }
}

/// Ends the stream so that the last words arrive: with unread bytes left, closing a socket resets
/// it, and the client may then lose what it was sent.
async fn let_go<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let ended = poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx)).await;
    for _ in 0..LINGER_READS {
        let more = ended.is_ok() && poll_fn(|cx| poll_discard(stream, cx)).await;
        if !more {
            return;
        }
    }
}

/// Reads and forgets; true unless the other side has ended.
fn poll_discard<S: AsyncRead + Unpin>(stream: &mut S, cx: &mut Context<'_>) -> Poll<bool> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        Pin::new(stream)
            .poll_read(cx, &mut buffer)
            .map(|read| read.is_ok() && !buffer.filled().is_empty())
    })
}

/// Forgets a connection however its task ends, and where its future is dropped, as when the
/// listener ends.
pub(super) struct Forget(Arc<Service>, Arc<Connection>);

impl Forget {
    pub(super) fn new(service: Arc<Service>, connection: Arc<Connection>) -> Self {
        Forget(service, connection)
    }

    pub(super) fn service(&self) -> &Service {
        &self.0
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.1
    }
}

impl Drop for Forget {
    fn drop(&mut self) {
        self.0.forget(&self.1);
    }
}

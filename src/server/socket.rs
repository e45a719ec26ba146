//! Drives a [`Session`] over a WebSocket: one future per connection that does whatever is possible, in a fixed order.
//!
//! 1. **Write** what the session has ready, then flush. First, because everything else makes more to write.
//! 2. **Outbox**: take results only when all earlier ones are written, so that they wait where their number is bounded
//!    and a burst is written by one system call.
//! 3. **Clock**.
//! 4. **Read**, unless the client does not take what it is sent, or it is not decided yet who it is.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::{Sink, SinkExt, Stream};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use crate::protocol::{CloseCode, CloseReason};
use crate::session::{Session, Transmit};

/// For how long a close frame may take to be written and answered.
const LINGER: Duration = Duration::from_secs(2);
/// How much of what a client still sends is read and thrown away, so that it gets to read why it was closed.
const LINGER_BYTES: usize = 32 * 1024 * 1024;
/// Above this many frames or bytes that the client has not taken, nothing more is read from it.
const UNREAD_FRAMES: usize = 256;
const UNREAD_BYTES: usize = 256 * 1024;
/// Closings on shutdown are spread over one millisecond per connection, up to this long: not all clients may come back
/// at the same instant.
const DRAIN_SPREAD: Duration = Duration::from_secs(2);

type WebSocket = WebSocketStream<TcpStream>;

/// Runs the connection until it is closed. `population` is the number of connections that would be drained together.
///
/// Ends soon after `stopping` fires. What the client has not read by then is lost; it is told to come back (1012).
pub(super) async fn drive(
    socket: WebSocket,
    session: Session,
    stopping: CancellationToken,
    population: impl Fn() -> usize,
) {
    let mut stopping = pin!(stopping.cancelled_owned());
    let mut driver = Driver { socket, session, timer: None, written: 0, flushed: true, drain: None };
    let end = poll_fn(|cx| {
        if driver.drain.is_none() && stopping.as_mut().poll(cx).is_ready() {
            let spread = DRAIN_SPREAD.min(Duration::from_millis(population() as u64));
            let delay = spread.mul_f64(rand::random());
            driver.drain = Some(Drain::Waiting(Box::pin(tokio::time::sleep(delay))));
        }
        driver.poll(cx)
    })
    .await;
    let Driver { mut socket, session, .. } = driver;
    // The subscriptions end now, not after the goodbye.
    drop(session);
    match end {
        End::Gone => {}
        End::Goodbye => {
            // The answer was queued by the read; without it the client takes the end for a lost connection.
            let _ = tokio::time::timeout(LINGER, socket.flush()).await;
        }
        End::Close(code, reason) => close(&mut socket, code, &reason).await,
    }
}

/// Sends a close frame, and lets the client read it.
pub(super) async fn close(socket: &mut WebSocket, code: CloseCode, reason: &CloseReason) {
    let frame = CloseFrame { code: code.as_u16().into(), reason: reason.as_str().into() };
    let _ = tokio::time::timeout(LINGER, async {
        if socket.send(Message::Close(Some(frame))).await.is_err() {
            return;
        }
        // Closing with unread input would reset the connection, and the client might never see the reason.
        let stream = socket.get_mut();
        let _ = tokio::io::AsyncWriteExt::shutdown(stream).await;
        let mut sink = [0; 4096];
        let mut left = LINGER_BYTES;
        while let Ok(read @ 1..) = stream.read(&mut sink).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    })
    .await;
}

enum End {
    /// The client is gone.
    Gone,
    /// The client has said goodbye.
    Goodbye,
    /// We close.
    Close(CloseCode, CloseReason),
}

enum Drain {
    Waiting(Pin<Box<Sleep>>),
    Begun,
}

struct Driver {
    socket: WebSocket,
    session: Session,
    /// Made when the session first wants one, and moved only when the session's deadline moved.
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Frames handed to the socket since the last flush.
    written: usize,
    flushed: bool,
    drain: Option<Drain>,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let blocked = match self.poll_write(cx) {
                Poll::Ready(Some(end)) => return Poll::Ready(end),
                Poll::Ready(None) => false,
                Poll::Pending => true,
            };
            if self.poll_outbox(cx, blocked) || self.poll_clock(cx) {
                // A client that is closed while it does not read gets the close frame by the lingering close.
                if blocked && let Some(end) = self.closing() {
                    return Poll::Ready(end);
                }
                continue;
            }
            if self.session.poll_decision(cx).is_pending() || (blocked && self.is_unread()) {
                return Poll::Pending;
            }
            if self.session.wants_write() && !blocked {
                continue;
            }
            if let Some(end) = ready!(self.poll_read(cx)) {
                return Poll::Ready(end);
            }
        }
    }

    /// Whether so much waits for the client that it must read before it may ask for more.
    fn is_unread(&self) -> bool {
        let (frames, bytes) = self.session.backlog();
        self.written + frames > UNREAD_FRAMES || bytes > UNREAD_BYTES
    }

    /// Writes and flushes. Pending: the client does not take more for now.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        while self.session.wants_write() {
            if ready!(Pin::new(&mut self.socket).poll_ready(cx)).is_err() {
                return Poll::Ready(Some(End::Gone));
            }
            let message = match self.session.poll_transmit() {
                Some(Transmit::Text(text)) => Message::text(text),
                Some(Transmit::Ping) => Message::Ping(bytes::Bytes::new()),
                Some(Transmit::Close(code, reason)) => return Poll::Ready(Some(End::Close(code, reason))),
                None => break,
            };
            self.flushed = false;
            self.written += 1;
            if Pin::new(&mut self.socket).start_send(message).is_err() {
                return Poll::Ready(Some(End::Gone));
            }
        }
        if !self.flushed {
            if ready!(Pin::new(&mut self.socket).poll_flush(cx)).is_err() {
                return Poll::Ready(Some(End::Gone));
            }
            self.flushed = true;
            self.written = 0;
            self.session.handle_flushed();
        }
        Poll::Ready(None)
    }

    /// Whether the session got something to do from the outbox. While writing is blocked only an overflow counts.
    fn poll_outbox(&mut self, cx: &mut Context<'_>, blocked: bool) -> bool {
        let outbox = self.session.outbox();
        if outbox.poll_ready(cx).is_pending() || (blocked && !outbox.overflowed()) {
            return false;
        }
        self.session.handle_outbox();
        true
    }

    /// Whether the session got something to do from the clock or the shutdown.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(Drain::Waiting(delay)) = &mut self.drain
            && delay.as_mut().poll(cx).is_ready()
        {
            self.drain = Some(Drain::Begun);
            self.session.drain();
            return true;
        }
        let Some(at) = self.session.poll_timeout() else {
            self.timer = None;
            return false;
        };
        let (armed, sleep) = self.timer.get_or_insert_with(|| (at, Box::pin(tokio::time::sleep_until(at.into()))));
        if *armed != at {
            *armed = at;
            sleep.as_mut().reset(at.into());
        }
        if sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.timer = None;
        self.session.handle_timeout(Instant::now());
        true
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        let end = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
            None => Some(End::Gone),
            Some(Ok(Message::Close(_))) => Some(End::Goodbye),
            Some(Ok(Message::Text(text))) => {
                self.session.handle_text(&text, Instant::now());
                None
            }
            Some(Ok(Message::Binary(_))) => {
                self.session.handle_binary(Instant::now());
                None
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                // The pong to a ping was queued by the read; the next flush sends it.
                self.flushed = false;
                self.session.handle_pong(Instant::now());
                None
            }
            Some(Err(error)) => Some(end_of(&error)),
        };
        Poll::Ready(end)
    }

    /// The close that the session wants, if it wants one: whatever else waits is not going to be read.
    fn closing(&mut self) -> Option<End> {
        while let Some(transmit) = self.session.poll_transmit() {
            if let Transmit::Close(code, reason) = transmit {
                return Some(End::Close(code, reason));
            }
        }
        None
    }
}

/// What to tell a client whose frames cannot be read.
fn end_of(error: &Error) -> End {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { max_size, .. }) => {
            End::Close(CloseCode::MessageTooBig, CloseReason::new(&format!("Message larger than {max_size} bytes")))
        }
        Error::Utf8(_) => End::Close(CloseCode::InvalidPayload, CloseReason::new("Text frame is not UTF-8")),
        Error::Protocol(_) => End::Close(CloseCode::ProtocolError, CloseReason::new("WebSocket protocol violated")),
        _ => End::Gone,
    }
}

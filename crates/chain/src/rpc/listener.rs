//! Connections, bounded in number, in silence and in slowness.
//!
//! Past [`Limits::connections`] new ones wait in the kernel, so whoever holds one without using it must lose it: a client
//! that says nothing for [`Limits::silence`], does not finish a request's head within [`Limits::head`], or takes nothing
//! of its answer for [`Limits::stall`] is cut off, and so is one that does not finish a body (`super::http`).
//! WebSockets stay open because the server pings and a pong is a sign of life.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, Sleep},
};

/// Longest silence of a client, in a WebSocket too.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// Pause after a connection could not be accepted, for want of file descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What connections may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Most at a time.
    pub connections: usize,
    /// Longest time without a byte from the client.
    pub silence: Duration,
    /// Longest time for the head of a request, counted from the answer before it.
    pub head: Duration,
    /// Longest time in which the client takes nothing of what is sent.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            silence: SILENCE_LIMIT,
            head: Duration::from_secs(30),
            stall: Duration::from_secs(30),
        }
    }
}

/// Serves `router` on `listener` until the task is dropped.
pub(super) async fn serve(listener: TcpListener, router: Router, limits: Limits) {
    let room = Arc::new(Semaphore::new(limits.connections));
    loop {
        let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let router = router.clone();
        tokio::spawn(async move {
            // Answers are small and whole: waiting to fill a packet only delays them.
            let _ = stream.set_nodelay(true);
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.head)
                .serve_connection(
                    TokioIo::new(Connection::new(stream, limits)),
                    TowerToHyperService::new(router),
                )
                .with_upgrades();
            // Clients leave in the middle of anything.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(permit);
        });
    }
}

struct Connection {
    stream: TcpStream,
    limits: Limits,
    silence: Pin<Box<Sleep>>,
    stall: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    fn new(stream: TcpStream, limits: Limits) -> Self {
        Self { stream, limits, silence: Box::pin(tokio::time::sleep(limits.silence)), stall: None }
    }

    /// Passes a write's outcome on, unless it has been pending for too long.
    fn watch<T>(&mut self, outcome: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stall = None;
            return outcome;
        }
        let limit = self.limits.stall;
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        stall.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            let limit = self.limits.silence;
            self.silence.as_mut().reset(Instant::now() + limit);
            return read;
        }
        self.silence.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.watch(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const SHORT: Duration = Duration::from_millis(50);
    const NEVER: Duration = Duration::from_secs(3_600);
    const LIMITS: Limits = Limits { connections: 1, silence: NEVER, head: NEVER, stall: NEVER };
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
    /// More than the buffers of a socket hold.
    const ANSWER_BYTES: usize = 32 << 20;

    async fn served(limits: Limits) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/long", get(|| async { vec![0u8; ANSWER_BYTES] }));
        tokio::spawn(serve(listener, router, limits));
        address
    }

    /// With room for one connection, another client is answered only once `first` has lost its own.
    async fn another_gets_in(first: TcpStream, address: std::net::SocketAddr) {
        let mut other = TcpStream::connect(address).await.expect("waits in the kernel");
        other.write_all(REQUEST).await.expect("sent");
        let mut answer = String::new();
        other.read_to_string(&mut answer).await.expect("answered");
        assert!(answer.ends_with("here"), "{answer}");
        drop(first);
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_makes_room() {
        let address = served(Limits { silence: SHORT, ..LIMITS }).await;
        let silent = TcpStream::connect(address).await.expect("accepted");
        another_gets_in(silent, address).await;
    }

    #[tokio::test]
    async fn a_client_that_never_ends_its_head_makes_room() {
        let address = served(Limits { head: SHORT, ..LIMITS }).await;
        let mut slow = TcpStream::connect(address).await.expect("accepted");
        slow.write_all(b"GET / HTTP/1.1\r\n").await.expect("sent");
        let (mut reading, mut writing) = slow.into_split();
        // A byte now and then is no silence.
        let trickle = tokio::spawn(async move {
            while writing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(SHORT / 10).await;
            }
        });
        let mut rest = Vec::new();
        // Cut off, by an end or a reset.
        let _ = reading.read_to_end(&mut rest).await;
        trickle.await.expect("ends with the connection");
        another_gets_in(TcpStream::connect(address).await.expect("waits"), address).await;
    }

    #[tokio::test]
    async fn a_client_that_does_not_take_its_answer_makes_room() {
        let address = served(Limits { stall: SHORT, ..LIMITS }).await;
        let mut deaf = TcpStream::connect(address).await.expect("accepted");
        deaf.write_all(b"GET /long HTTP/1.1\r\nhost: node\r\n\r\n").await.expect("sent");
        another_gets_in(deaf, address).await;
    }
}

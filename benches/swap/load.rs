//! Subscribers and a publisher.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::judge::{Board, IDS, Sequence, Verdict, WINDOWS};

const CONNECTIONS: usize = 100;
const OPERATIONS: usize = 100;
/// Events per second, in small batches as a busy publisher sends them.
const RATE: u64 = 1_000;
const BATCH: u64 = 2;

pub struct Clients {
    stop: Arc<AtomicBool>,
    readers: Vec<JoinHandle<(Vec<Sequence>, bool)>>,
}

pub async fn subscribe(address: SocketAddr, board: &Arc<Board>) -> Clients {
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for connection in 0..CONNECTIONS {
        let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        socket.send(Message::text(r#"{"type":"connection_init"}"#)).await.unwrap();
        socket.next().await.unwrap().unwrap();
        for operation in 0..OPERATIONS {
            let id = (connection * OPERATIONS + operation) % IDS;
            let text = format!(
                r#"{{"id":"{operation}","type":"subscribe","payload":{{"query":"subscription ($id: ID) {{ tick(id: $id) {{ seq version }} }}","variables":{{"id":"{id}"}}}}}}"#
            );
            socket.send(Message::text(text)).await.unwrap();
        }
        socket.send(Message::text(r#"{"type":"ping"}"#)).await.unwrap();
        socket.next().await.unwrap().unwrap();
        readers.push(tokio::spawn(read(socket, connection, Arc::clone(board), Arc::clone(&stop))));
    }
    Clients { stop, readers }
}

impl Clients {
    pub async fn verdict(self, board: &Board) -> Verdict {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Verdict::default();
        for (connection, reader) in self.readers.into_iter().enumerate() {
            let (sequences, closed) = reader.await.unwrap();
            all.closed += u64::from(closed);
            for (operation, sequence) in sequences.iter().enumerate() {
                let id = (connection * OPERATIONS + operation) % IDS;
                all.add(sequence.end(board.last[id].load(Ordering::Acquire)));
            }
        }
        all
    }
}

async fn read(
    mut socket: tokio_tungstenite::WebSocketStream<TcpStream>,
    connection: usize,
    board: Arc<Board>,
    stop: Arc<AtomicBool>,
) -> (Vec<Sequence>, bool) {
    let mut sequences: Vec<Sequence> = (0..OPERATIONS).map(|_| Sequence::default()).collect();
    let mut times: [Vec<_>; WINDOWS] = Default::default();
    let mut closed = false;
    while !stop.load(Ordering::Relaxed) {
        let text = match tokio::time::timeout(Duration::from_millis(200), socket.next()).await {
            Ok(Some(Ok(Message::Text(text)))) => text,
            Err(_) | Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
            Ok(_) => {
                closed = true;
                break;
            }
        };
        if text.contains(r#""type":"ping""#) {
            socket.send(Message::text(r#"{"type":"pong"}"#)).await.unwrap();
            continue;
        }
        let operation = number(&text, r#""id":""#);
        let seq = number(&text, r#""seq":"#);
        let version = u32::try_from(number(&text, r#""version":"version-"#)).unwrap();
        let sequence = &mut sequences[operation];
        sequence.take(seq);
        let (same, measured) = board.answer((connection * OPERATIONS + operation) % IDS, seq, version);
        sequence.verdict.by_two_versions += u64::from(!same);
        if let Some((window, took)) = measured {
            times[window].push(took);
        }
    }
    for (window, times) in times.iter_mut().enumerate() {
        board.keep(window, times);
    }
    (sequences, closed)
}

/// The number behind this text.
fn number(text: &str, name: &str) -> usize {
    let at = text.find(name).unwrap_or_else(|| panic!("{name} is not in {text}")) + name.len();
    text[at..].bytes().take_while(u8::is_ascii_digit).fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

pub struct Publisher {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Publisher {
    pub async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

pub fn publish(address: SocketAddr, board: &Arc<Board>) -> Publisher {
    let (stop, board) = (Arc::new(AtomicBool::new(false)), Arc::clone(board));
    let stopped = Arc::clone(&stop);
    let task = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut ticks = tokio::time::interval(Duration::from_nanos(1_000_000_000 * BATCH / RATE));
        let (mut published, mut answer) = (0, vec![0; 4096]);
        while !stopped.load(Ordering::Relaxed) {
            ticks.tick().await;
            let mut body = String::new();
            for _ in 0..BATCH {
                let id = usize::try_from(published).unwrap() % IDS;
                let seq = board.publish(id);
                let _ = writeln!(
                    body,
                    "{{\"channel\":\"ticks\",\"type\":\"tick\",\"data\":{{\"seq\":{seq},\"id\":\"{id}\"}}}}"
                );
                published += 1;
            }
            let request = format!(
                "POST /events HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let count = stream.read(&mut answer).await.unwrap();
            assert!(answer[..count].starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&answer[..count]));
        }
        published
    });
    Publisher { stop, task }
}

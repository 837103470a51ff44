//! A server's metrics, read as Prometheus reads them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{PATIENCE, Server};

/// Returns where a server that was started with `--metrics` serves them.
#[must_use]
pub fn address(server: &Server) -> SocketAddr {
    let line = server.printed.lines().find_map(|line| line.strip_prefix("metrics on "));
    line.expect("metrics are served").parse().expect("an address")
}

/// Asks for a page over HTTP, and returns the head and the body of the answer.
pub async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let answer = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(PATIENCE, answer).await.expect("an answer in time").expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

/// Returns the metrics of a server.
pub async fn scrape(server: &Server) -> String {
    let (head, body) = get(address(server), "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body
}

/// Returns the value of a metric, its labels included: `x_total` or `x_total{result="ok"}`.
pub async fn value(server: &Server, metric: &str) -> f64 {
    let page = scrape(server).await;
    let value = page.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no `{metric}` in {page}")).parse().expect("a number")
}

/// Waits until a metric has a value.
pub async fn until(server: &Server, metric: &str, is_reached: impl Fn(f64) -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let value = value(server, metric).await;
        if is_reached(value) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "`{metric}` is {value}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

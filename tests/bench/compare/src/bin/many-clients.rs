//! Clients that each ask as soon as they were answered, and how often each was: `many-clients HOST:PORT PATH CLIENTS SECONDS`
//!
//! Prints one line of JSON: the answers of each client, the requests that failed, and why the last one did.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, clients, seconds] = &arguments[..] else {
        anyhow::bail!("many-clients HOST:PORT PATH CLIENTS SECONDS");
    };
    let address: SocketAddr = address.parse()?;
    let clients: usize = clients.parse()?;
    let time = Duration::try_from_secs_f64(seconds.parse()?)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let failures = Rc::new(RefCell::new((0_u64, String::new())));
    let counts = LocalSet::new().block_on(&runtime, async {
        let counts: Vec<Rc<Cell<u64>>> = (0..clients).map(|_| Rc::default()).collect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        for count in &counts {
            let (count, failures) = (Rc::clone(count), Rc::clone(&failures));
            let request = request.clone();
            tokio::task::spawn_local(async move {
                loop {
                    if let Err(error) = ask(address, &request, &count).await {
                        let mut failures = failures.borrow_mut();
                        failures.0 += 1;
                        failures.1 = format!("{error:#}");
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
        }
        tokio::time::sleep(time).await;
        counts.iter().map(|count| count.get()).collect::<Vec<u64>>()
    });
    let (errors, why) = &*failures.borrow();
    println!(
        "{}",
        json!({"counts": counts, "errors": errors, "why": why})
    );
    Ok(())
}

/// Asks over one connection until that fails.
async fn ask(address: SocketAddr, request: &str, count: &Cell<u64>) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut input = Vec::with_capacity(4096);
    loop {
        stream.write_all(request.as_bytes()).await?;
        let end = loop {
            let len = stream.read_buf(&mut input).await?;
            ensure!(len > 0, "the server closes");
            if let Some(end) = response_len(&input)? {
                break end;
            }
        };
        input.drain(..end);
        count.set(count.get() + 1);
    }
}

/// The length of the response at the start of `input`, once it is whole. It has to have a `Content-Length`.
fn response_len(input: &[u8]) -> Result<Option<usize>> {
    let Some(end) = input.windows(4).position(|at| at == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&input[..end])?.to_ascii_lowercase();
    ensure!(head.starts_with("http/1.1 200 "), "{head}");
    let len = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let len: usize = len.context("no length")?.trim().parse()?;
    Ok((input.len() >= end + 4 + len).then_some(end + 4 + len))
}

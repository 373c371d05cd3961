//! The requests of `load`, sent with the crate `fastcgi-client`.

use anyhow::{Context, Result, ensure};
use fastcgi_client::{Client, Params, Request};
use tokio::net::UnixStream;

#[path = "../client.rs"]
mod client;

use client::{Arguments, Countdown};

fn main() -> Result<()> {
    let arguments = Arguments::parse()?;
    client::run(&arguments, |requests| send_all(&arguments, requests))
}

async fn send_all(arguments: &Arguments, requests: Countdown) -> Result<()> {
    ensure!(
        arguments.inflight == arguments.conns,
        "requests cannot share a connection"
    );
    let mut tasks = Vec::new();
    for _ in 0..arguments.conns {
        let stream = UnixStream::connect(&arguments.socket).await?;
        let body = vec![b'x'; arguments.stdin_len];
        let one = send(
            stream,
            requests.clone(),
            arguments.params(),
            body,
            arguments.body_expected,
        );
        tasks.push(tokio::task::spawn_local(one));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn send(
    stream: UnixStream,
    requests: Countdown,
    params: Vec<(bytes::Bytes, bytes::Bytes)>,
    body: Vec<u8>,
    body_expected: u64,
) -> Result<()> {
    let mut given = Params::default();
    for (name, value) in &params {
        let (name, value) = (std::str::from_utf8(name)?, std::str::from_utf8(value)?);
        given.insert(name.into(), value.into());
    }
    let mut client = Client::new_keep_alive_tokio(stream);
    while requests.take() {
        let request = Request::new_tokio(given.clone(), &body[..]);
        let output = client.execute(request).await?.stdout.context("no output")?;
        let head = output.windows(4).position(|at| at == b"\r\n\r\n");
        let head = head.context("no head")? + 4;
        let len = (output.len() - head) as u64;
        ensure!(len == body_expected, "a body of {len} bytes");
    }
    Ok(())
}

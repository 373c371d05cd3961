//! The requests of `load`, sent with the crate `async-fcgi`.

use std::sync::Arc;

use anyhow::{Result, ensure};
use async_fcgi::client::connection::Connection;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};

#[path = "../client.rs"]
mod client;

use client::{Arguments, Countdown};

fn main() -> Result<()> {
    let arguments = Arguments::parse()?;
    client::run(&arguments, |requests| send_all(&arguments, requests))
}

async fn send_all(arguments: &Arguments, requests: Countdown) -> Result<()> {
    let share = arguments.inflight.div_ceil(arguments.conns);
    let address = arguments.socket.parse()?;
    // It adds these itself.
    let own = [
        "QUERY_STRING",
        "REQUEST_METHOD",
        "CONTENT_TYPE",
        "CONTENT_LENGTH",
    ];
    let mut params = arguments.params();
    params.retain(|(name, _)| !own.iter().any(|own| name == own));
    let mut tasks = Vec::new();
    for _ in 0..arguments.conns {
        let connection = Connection::connect(&address, u16::try_from(share)?).await;
        let connection = connection.map_err(|error| anyhow::anyhow!("{error}"))?;
        let connection = Arc::new(connection);
        for _ in 0..share {
            let one = send(
                Arc::clone(&connection),
                requests.clone(),
                params.clone(),
                vec![b'x'; arguments.stdin_len].into(),
                arguments.body_expected,
            );
            tasks.push(tokio::task::spawn_local(one));
        }
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn send(
    connection: Arc<Connection>,
    requests: Countdown,
    params: Vec<(Bytes, Bytes)>,
    body: Bytes,
    body_expected: u64,
) -> Result<()> {
    while requests.take() {
        let method = if body.is_empty() { "GET" } else { "POST" };
        let request = Request::builder().method(method).uri("/bench");
        let request = request.body(Full::new(body.clone()))?;
        let response = connection.forward(request, params.iter().cloned()).await?;
        ensure!(response.status() == 200, "status {}", response.status());
        let mut content = std::pin::pin!(response.into_body());
        let mut len = 0;
        while let Some(frame) = content.frame().await {
            len += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        ensure!(len == body_expected, "a body of {len} bytes");
    }
    Ok(())
}

//! Uploads by HTTPS (HTTP/1.1 over TLS 1.3): `POST /uploads`, `DELETE /uploads/NAME`, `GET /metrics`.

use std::{future::poll_fn, net::TcpListener, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody as _, to_bytes},
    extract::{Path, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use ringlet_core::contribution::UploadId;
use rustls::ServerConfig;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{intake::Intake, refusal::Refusal, stop::Stop};
use crate::{data::hexadecimal, error::Failure, links::connect::broken};

/// The most connections at a time.
const MOST_CONNECTIONS: usize = 1024;

/// The most bytes of bodies that are read at a time.
const MOST_BODIES: usize = 64 << 20;

/// The most bytes of a body that is too large which are read.
const MOST_DISCARDED: usize = 16 << 20;

/// How long a handshake, the head of a request and its body may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// When an upload that could not be taken may come again, in seconds.
const RETRY_AFTER: &str = "1";

/// What the handlers share.
#[derive(Clone)]
struct Front {
    intake: Arc<Intake>,
    /// Kilobytes of bodies that may be read now.
    bodies: Arc<Semaphore>,
}

/// Serves uploads at `listener` until `stop`. Requests that have begun are answered.
pub fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    intake: Arc<Intake>,
    stop: &Stop,
) -> Result<(), Failure> {
    listener.set_nonblocking(true).map_err(broken)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(broken)?;
    let (closing, closed) = watch::channel(false);
    let noted = stop.clone();
    runtime.spawn_blocking(move || {
        noted.wait();
        let _ = closing.send(true);
    });
    runtime.block_on(accept(
        listener,
        TlsAcceptor::from(tls),
        router(intake),
        closed,
    ))
}

fn router(intake: Arc<Intake>) -> Router {
    let front = Front {
        intake,
        bodies: Arc::new(Semaphore::new(MOST_BODIES >> 10)),
    };
    Router::new()
        .route("/uploads", post(upload))
        .route("/uploads/{id}", delete(withdraw))
        .route("/metrics", get(metrics))
        .with_state(front)
}

async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    router: Router,
    mut closed: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::from_std(listener).map_err(broken)?;
    let open = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let accepted = async {
            let place = open.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            accepted = accepted => accepted,
            _ = closed.changed() => break,
        };
        let Ok((stream, _)) = stream else {
            // The system is short of something for a while.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let (tls, router, closed) = (tls.clone(), router.clone(), closed.clone());
        tokio::spawn(async move {
            connection(stream, tls, router, closed).await;
            drop(place);
        });
    }
    let ended = open.acquire_many(MOST_CONNECTIONS as u32);
    let _ = timeout(BODY_TIMEOUT, ended).await;
    Ok(())
}

/// Serves one connection. What goes wrong with it is its owner's to know.
async fn connection(
    stream: TcpStream,
    tls: TlsAcceptor,
    router: Router,
    mut closed: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await else {
        return;
    };
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = closed.wait_for(|closed| *closed) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

async fn upload(State(front): State<Front>, request: Request) -> Response {
    let Front { intake, bodies } = front;
    let taken = take(&intake, &bodies, request).await;
    match taken {
        Ok((id, count, is_new)) => {
            intake.metrics.accept(is_new);
            let status = if is_new {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            };
            let name = hexadecimal::digits(&id.0);
            json(
                status,
                format!("{{\"upload\":\"{name}\",\"contributions\":{count}}}"),
            )
        }
        Err(refusal) => {
            intake.metrics.refuse(refusal);
            refused(refusal)
        }
    }
}

async fn take(
    intake: &Intake,
    bodies: &Semaphore,
    request: Request,
) -> Result<(UploadId, u16, bool), Refusal> {
    let most = intake.most_bytes();
    let said = request.headers().get(header::CONTENT_LENGTH);
    let said = said.and_then(|said| said.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|said| said > most) {
        // An owner that is still sending would not read the answer.
        let _ = timeout(BODY_TIMEOUT, discard(request.into_body())).await;
        return Err(Refusal::TooLarge);
    }
    let room = said.unwrap_or(most).div_ceil(1024).max(1) as u32;
    let _room = bodies
        .acquire_many(room)
        .await
        .map_err(|_| Refusal::NotAvailable)?;
    let bytes = timeout(BODY_TIMEOUT, to_bytes(request.into_body(), most)).await;
    let bytes = bytes.map_err(|_| Refusal::TooSlow)?;
    // Either it is longer than it may be, or the connection broke, and nobody reads the answer.
    let bytes = bytes.map_err(|_| Refusal::TooLarge)?;
    intake.take(&bytes).await
}

/// Reads a body and keeps none of it, up to a limit.
async fn discard(mut body: Body) {
    let mut left = MOST_DISCARDED;
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let len = frame.data_ref().map_or(0, |data| data.len());
        match left.checked_sub(len) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

async fn withdraw(State(Front { intake, .. }): State<Front>, Path(id): Path<String>) -> Response {
    let withdrawn = match hexadecimal::bytes(&id) {
        Some(id) => intake.withdraw(UploadId(id)).await,
        None => Err(Refusal::UnknownUpload),
    };
    match withdrawn {
        Ok(()) => json(StatusCode::OK, format!("{{\"withdrawn\":\"{id}\"}}")),
        Err(refusal) => refused(refusal),
    }
}

async fn metrics(State(Front { intake, .. }): State<Front>) -> Response {
    let (totals, owners) = match (intake.store.totals(), intake.store.owners()) {
        (Ok(totals), Ok(owners)) => (totals, owners),
        _ => return refused(Refusal::NotAvailable),
    };
    let followers = intake.followers.are_here();
    let text = intake.metrics.text(totals, owners, followers);
    let form = "text/plain; version=0.0.4";
    ([(header::CONTENT_TYPE, form)], text).into_response()
}

fn refused(refusal: Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = format!(
        "{{\"code\":\"{}\",\"error\":\"{refusal}\"}}",
        refusal.code()
    );
    let response = json(status, body);
    match refusal {
        Refusal::NotAvailable => ([(header::RETRY_AFTER, RETRY_AFTER)], response).into_response(),
        _ => response,
    }
}

fn json(status: StatusCode, body: String) -> Response {
    let form = [(header::CONTENT_TYPE, "application/json")];
    (status, form, Body::from(body)).into_response()
}

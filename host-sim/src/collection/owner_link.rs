//! An owner's connection to the leader.

use std::{sync::Arc, time::Duration};

use axum::body::{Body, to_bytes};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use ringlet_core::contribution::UploadId;
use rustls::{ClientConfig, pki_types::ServerName};
use serde::Deserialize;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{certificate, refusal::Refusal};
use crate::{config::task_file::TaskFile, data::hexadecimal, error::Failure};

/// How long the leader may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

/// How long it may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of an answer.
const MOST_BYTES: usize = 64 << 10;

/// How an upload or a withdrawal went.
pub enum Answer {
    /// It is done.
    Done,
    /// The upload was there already.
    Repeated,
    /// It is refused for good.
    Refused(Refusal),
    /// It may come again: why, and after how long.
    Later(String, Duration),
}

impl Answer {
    /// The failure that this answer is, if it is one.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Answer::Done | Answer::Repeated => None,
            Answer::Refused(refusal) => Some(Failure::new(
                format!("the leader refuses: {refusal}"),
                refusal.remedy(),
            )),
            Answer::Later(why, _) => Some(Failure::new(
                why,
                "try again later, or wait longer with --wait",
            )),
        }
    }
}

#[derive(Deserialize)]
struct Error {
    code: String,
}

/// A connection to the leader, made when it is needed.
pub struct OwnerLink {
    tls: TlsConnector,
    address: String,
    requests: Option<SendRequest<Body>>,
}

impl OwnerLink {
    /// A connection to the leader of a task.
    pub fn new(task: &TaskFile) -> Result<Self, Failure> {
        let config: Arc<ClientConfig> = certificate::client(task.terms.certificate)?;
        Ok(OwnerLink {
            tls: TlsConnector::from(config),
            address: task.terms.address.clone(),
            requests: None,
        })
    }

    /// Sends an upload.
    pub async fn send(&mut self, upload: Vec<u8>) -> Result<Answer, Failure> {
        self.ask(Method::POST, "/uploads", upload).await
    }

    /// Withdraws an upload.
    pub async fn withdraw(&mut self, id: UploadId) -> Result<Answer, Failure> {
        let path = format!("/uploads/{}", hexadecimal::digits(&id.0));
        self.ask(Method::DELETE, &path, Vec::new()).await
    }

    async fn ask(&mut self, method: Method, path: &str, body: Vec<u8>) -> Result<Answer, Failure> {
        let asked = timeout(ANSWER_TIMEOUT, self.exchange(method, path, body)).await;
        let why = match asked {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if error.contains("certificate") => {
                return Err(Failure::new(
                    format!("the leader at {} is another: {error}", self.address),
                    "get the task file again, and see who answers at its address",
                ));
            }
            Ok(Err(error)) => error,
            Err(_) => "it does not answer".to_owned(),
        };
        self.requests = None;
        let why = format!("the leader at {} cannot be reached ({why})", self.address);
        Ok(Answer::Later(why, Duration::from_secs(1)))
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let requests = match self
            .requests
            .take()
            .filter(|requests| !requests.is_closed())
        {
            Some(requests) => requests,
            None => self.connect().await?,
        };
        let requests = self.requests.insert(requests);
        let is_upload = method == Method::POST;
        requests.ready().await.map_err(|error| error.to_string())?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.address)
            .body(Body::from(body))
            .map_err(|error| error.to_string())?;
        let response = requests.send_request(request).await;
        let response = response.map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        let body = to_bytes(Body::new(body), MOST_BYTES).await;
        let body = body.map_err(|error| error.to_string())?;
        match head.status {
            // A withdrawal has this status too, and is done.
            StatusCode::OK if is_upload => return Ok(Answer::Repeated),
            status if status.is_success() => return Ok(Answer::Done),
            _ => {}
        }
        let code = serde_json::from_slice::<Error>(&body).ok();
        let refusal = code.and_then(|error| Refusal::of_code(&error.code));
        match refusal {
            Some(refusal @ (Refusal::NotAvailable | Refusal::TooSlow)) => {
                let after = head.headers.get(header::RETRY_AFTER);
                let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
                let after = Duration::from_secs(after.unwrap_or(1));
                Ok(Answer::Later(refusal.to_string(), after))
            }
            Some(refusal) => Ok(Answer::Refused(refusal)),
            None => Err(format!("it answers {}", head.status)),
        }
    }

    async fn connect(&self) -> Result<SendRequest<Body>, String> {
        let connecting = async {
            let stream = TcpStream::connect(&self.address).await;
            let stream = stream.map_err(|error| error.to_string())?;
            let _ = stream.set_nodelay(true);
            // The certificate's hash says who the leader is, so its name is not used.
            let name = ServerName::try_from("ringlet").map_err(|error| error.to_string())?;
            let stream = self.tls.connect(name, stream).await;
            let stream = stream.map_err(|error| error.to_string())?;
            let (requests, connection) = handshake(TokioIo::new(stream))
                .await
                .map_err(|error| error.to_string())?;
            tokio::spawn(async move {
                // Requests that it ends with see that.
                let _ = connection.await;
            });
            Ok(requests)
        };
        let connected = timeout(CONNECT_TIMEOUT, connecting).await;
        connected.unwrap_or_else(|_| Err("no connection in time".to_owned()))
    }
}

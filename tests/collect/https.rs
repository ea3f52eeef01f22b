//! A client that speaks HTTP/1.1 over TLS with the leader, and shows what it answers.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use ringlet::{collection::certificate, config::task_file::TaskFile};
use rustls::{ClientConnection, StreamOwned, pki_types::ServerName};

/// A connection to the leader.
pub struct Connection(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Connection {
    /// Connects to the leader of a task.
    pub fn new(task: &TaskFile) -> io::Result<Self> {
        let config = certificate::client(task.terms.certificate).expect("TLS");
        let name = ServerName::try_from("ringlet").expect("a name");
        let tls = ClientConnection::new(config, name).expect("TLS");
        let stream = TcpStream::connect(&task.terms.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Connection(BufReader::new(StreamOwned::new(tls, stream))))
    }

    /// Sends a request. Returns the status and the body of the answer.
    pub fn request(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, String)> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let stream = self.0.get_mut();
        stream.write_all(&[head.as_bytes(), body].concat())?;
        stream.flush()?;
        let (mut status, mut len) = (0, 0);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().expect("a status");
            }
            if let Some(rest) = line.strip_prefix("content-length: ") {
                len = rest.parse().expect("a length");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; len];
        self.0.read_exact(&mut body)?;
        Ok((status, String::from_utf8(body).expect("UTF-8")))
    }
}

/// Sends one request over a connection of its own.
pub fn request(
    task: &TaskFile,
    method: &str,
    path: &str,
    body: &[u8],
) -> io::Result<(u16, String)> {
    Connection::new(task)?.request(method, path, body)
}

/// Sends an upload. Returns the status, and the name of the refusal or of the upload.
pub fn post(task: &TaskFile, upload: &[u8]) -> (u16, String) {
    answer(request(task, "POST", "/uploads", upload).expect("an answer"))
}

/// What an answer says.
pub fn answer((status, body): (u16, String)) -> (u16, String) {
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let text = body["code"]
        .as_str()
        .or(body["upload"].as_str())
        .or(body["withdrawn"].as_str());
    (status, text.expect("a name").to_owned())
}

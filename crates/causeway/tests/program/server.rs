//! A running server.

use core::time::Duration;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite;

use crate::causeway;

/// A running server, which dies with this.
pub(crate) struct Server {
    child: Child,
    /// `127.0.0.1:PORT`
    pub(crate) address: String,
    /// The same for TLS, where it was told to.
    pub(crate) tls_address: Option<String>,
    pub(crate) folder: TempDir,
}

impl Server {
    /// `causeway serve`.
    pub(crate) fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        Self::run(folder, &[&["serve", "--data-dir", "data"], options].concat())
    }

    /// `causeway tracker`, in a folder that may have files in it.
    pub(crate) fn tracker(folder: TempDir, options: &[&str]) -> Self {
        Self::run(folder, &[&["tracker"], options].concat())
    }

    fn run(folder: TempDir, arguments: &[&str]) -> Self {
        let mut command = causeway(folder.path(), arguments);
        let log = File::create(folder.path().join("log")).expect("it can be written");
        command
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().expect("the program was built");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut line = || {
            lines
                .next()
                .expect("it says where it listens")
                .expect("it writes UTF-8")
        };
        let first = line();
        let address = first
            .strip_prefix("listening on http://")
            .expect("that is the first line");
        let with_tls = arguments.contains(&"--tls-listen");
        Self {
            address: address.to_owned(),
            tls_address: with_tls.then(|| line().replace("listening on https://", "")),
            child,
            folder,
        }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("it can be read")
    }

    /// Puts a file into its folder, whole at any time.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let (new, path) = (self.folder.path().join("new"), self.folder.path().join(name));
        std::fs::write(&new, text).expect("it can be written");
        std::fs::rename(new, path).expect("it can be replaced");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let kill = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(kill.expect("there is a kill").success());
    }

    /// The head, in lower case, and the body.
    pub(crate) fn request(&self, request: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let request = format!("{request}\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut response = Vec::new();
        stream.read_to_end(&mut response).expect("it answers and closes");
        let end = response
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("there is a head");
        let head = String::from_utf8_lossy(&response[..end]).to_lowercase();
        (head, response[end + 4..].to_owned())
    }

    pub(crate) fn get(&self, path: &str) -> (String, Vec<u8>) {
        self.request(&format!("GET {path} HTTP/1.1"))
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.get(path).1).expect("it is JSON")
    }

    pub(crate) fn socket(&self, path: &str) -> tungstenite::WebSocket<TcpStream> {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        let url = format!("ws://{}{path}", self.address);
        tungstenite::client(url, stream)
            .expect("the tracker takes connections")
            .0
    }

    /// Sends the signal, and returns the status and how long it took.
    pub(crate) fn end(&mut self, signal: &str) -> (Option<i32>, Duration) {
        let begin = Instant::now();
        self.signal(signal);
        let status = self.child.wait().expect("it is our child");
        (status.code(), begin.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

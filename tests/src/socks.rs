//! A SOCKS5 proxy (RFC 1928, RFC 1929) that says whom it was asked for. What it opens comes from an address of its own, by which
//! the other side tells it from whoever goes around it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// Where its connections come from.
pub const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);
/// What it wants to hear.
pub const USER: &str = "somebody";
/// And this.
pub const PASSWORD: &str = "secret";

/// A running proxy. Dropping it ends it.
#[derive(Debug)]
pub struct Socks {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Socks {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, &seen).await {
                        eprintln!("the proxy: {error:#}");
                    }
                });
            }
        });
        Ok(Self { address, asked, task })
    }

    /// Its address, as programs are told it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("socks5://{USER}:{PASSWORD}@{}", self.address)
    }

    /// Whom it was asked for, as `HOST:PORT`.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Socks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, asked: &Mutex<Vec<String>>) -> Result<()> {
    ensure!(stream.read_u8().await? == 5, "another version");
    let mut methods = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut methods).await?;
    ensure!(methods.contains(&2), "it names no user");
    stream.write_all(&[5, 2]).await?;
    ensure!(stream.read_u8().await? == 1, "another kind of names");
    let (user, password) = (text(&mut stream).await?, text(&mut stream).await?);
    ensure!(
        (user.as_str(), password.as_str()) == (USER, PASSWORD),
        "another user"
    );
    stream.write_all(&[1, 0]).await?;

    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    ensure!(head[..2] == [5, 1], "it wants no connection");
    let host = match head[3] {
        1 => {
            let mut ip = [0; 4];
            stream.read_exact(&mut ip).await?;
            Ipv4Addr::from(ip).to_string()
        }
        3 => text(&mut stream).await?,
        4 => {
            let mut ip = [0; 16];
            stream.read_exact(&mut ip).await?;
            format!("[{}]", Ipv6Addr::from(ip))
        }
        other => bail!("an address of kind {other}"),
    };
    let target = format!("{host}:{}", stream.read_u16().await?);
    asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(target.clone());
    let Ok(mut other) = connect(&target).await else {
        stream.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        return Ok(());
    };
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    // Either side may end it in any way.
    copy_bidirectional(&mut stream, &mut other).await.ok();
    Ok(())
}

async fn text(stream: &mut TcpStream) -> Result<String> {
    let mut bytes = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(String::from_utf8(bytes)?)
}

async fn connect(target: &str) -> Result<TcpStream> {
    let found = tokio::net::lookup_host(target).await?;
    let mut found = found.filter(|address| address.ip().is_loopback() && address.is_ipv4());
    let address = found.next().context("it leads nowhere on this machine")?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(SOURCE), 0))?;
    Ok(socket.connect(address).await?)
}

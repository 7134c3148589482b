//! Free TCP ports on loopback, and whether somebody answers on one.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::ProvisionError;

/// So many ports that nobody listens on. All are held at once while they are looked for, so they differ; they are free
/// again on return, so somebody else may be quicker: whoever starts a server on one has to be ready to try anew.
///
/// # Errors
/// Where the system gives none.
pub(super) fn free(count: usize) -> Result<VecDeque<u16>, ProvisionError> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()
        .map_err(ProvisionError::system("find a free port on", "127.0.0.1"))?;
    held.iter()
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect::<Result<_, _>>()
        .map_err(ProvisionError::system("find a free port on", "127.0.0.1"))
}

/// Somebody accepts connections there.
pub(super) fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
}

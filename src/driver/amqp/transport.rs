//! A byte stream to a broker, plain or TLS. Nothing here blocks but [`Transport::read_waiting`].

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::time::Duration;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};

use super::tls::{self, TlsStream};

/// See the module.
#[derive(Debug)]
pub(super) enum Transport {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
}

impl Transport {
    /// Writes as much of `slices` as is taken. [`io::ErrorKind::WouldBlock`] where nothing is.
    #[inline]
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                let mut nothing = SendAncillaryBuffer::default();
                match slices {
                    [one] => Ok(send(socket, one, flags)?),
                    many => Ok(sendmsg(socket, many, &mut nothing, flags)?),
                }
            }
            Self::Tls(stream) => stream.write(slices),
        }
    }

    /// Most bytes that one write takes.
    #[inline]
    pub(super) fn write_max(&self) -> usize {
        match self {
            Self::Plain(_) => usize::MAX,
            Self::Tls(_) => tls::RECORD_MAX,
        }
    }

    /// Bytes were taken that the socket did not take yet.
    #[inline]
    pub(super) fn has_pending(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.has_pending(),
        }
    }

    /// Tries to get rid of those.
    pub(super) fn write_pending(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.write_pending(),
        }
    }

    /// Reads once. 0 is the end of the stream. `cipher` is room that TLS needs besides.
    #[inline]
    pub(super) fn read(&mut self, plain: &mut [u8], cipher: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => Ok(recv(socket, plain, RecvFlags::DONTWAIT)?.0),
            Self::Tls(stream) => stream.read(plain, cipher),
        }
    }

    /// Lets [`Transport::read_waiting`] wait, for `limit` at a time. TLS does without: what the socket says is not
    /// what the session has.
    pub(super) fn allow_waiting(&mut self, limit: Duration) -> bool {
        match self {
            Self::Plain(socket) => {
                socket.set_read_timeout(Some(limit)).is_ok()
                    && socket.set_nonblocking(false).is_ok()
            }
            Self::Tls(_) => false,
        }
    }

    /// Reads once, and waits for it as long as was allowed: one system call where waiting first would be two.
    #[inline]
    pub(super) fn read_waiting(&mut self, plain: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => Ok(recv(socket, plain, RecvFlags::empty())?.0),
            Self::Tls(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(socket) => socket.as_fd(),
            Self::Tls(stream) => stream.socket.as_fd(),
        }
    }
}

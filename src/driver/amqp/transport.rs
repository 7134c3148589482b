//! A nonblocking byte stream to a broker, plain or TLS.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;

use rustix::fd::{AsFd, BorrowedFd};

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
            Self::Plain(socket) => match slices {
                [one] => socket.write(one),
                many => socket.write_vectored(many),
            },
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
            Self::Plain(socket) => socket.read(plain),
            Self::Tls(stream) => stream.read(plain, cipher),
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

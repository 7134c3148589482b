//! TLS by rustls over a nonblocking socket, and what it trusts.
//!
//! The provider is chosen here and not by the process. One record's worth of plaintext at a time goes through the
//! session, so that what is counted as handed over is never more than that ahead of the kernel.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::address::Tls;

/// Plaintext of one TLS record: most that is given to the session at once.
pub(super) const RECORD_MAX: usize = 16 * 1024;
/// Ciphertext read at once.
const CIPHER_READ: usize = 64 * 1024;

/// What `tls` asks for, in rustls's terms.
///
/// # Errors
/// The file that could not be read or used, and why.
pub(super) fn config(tls: &Tls) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if tls.verify {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(tls)?), provider)
            .build()
            .map_err(|error| error.to_string())?;
        builder.with_webpki_verifier(verifier)
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified { provider }))
    };
    let config = match (&tls.certificate, &tls.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| {
                format!("cannot read a private key from {}: {error}", key.display())
            })?;
            builder
                .with_client_auth_cert(chain, key_der)
                .map_err(|error| {
                    format!(
                        "the certificate {} and the key {} do not go together: {error}",
                        certificate.display(),
                        key.display()
                    )
                })?
        }
        (Some(path), None) => {
            return Err(format!(
                "the certificate {} has no key beside it",
                path.display()
            ));
        }
        (None, Some(path)) => {
            return Err(format!(
                "the key {} has no certificate beside it",
                path.display()
            ));
        }
    };
    Ok(Arc::new(config))
}

fn roots(tls: &Tls) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let Some(path) = &tls.ca else {
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = store.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err(
                "this system has no trusted certificates; name a file with those to trust".into(),
            );
        }
        return Ok(store);
    };
    for certificate in certificates(path)? {
        store
            .add(certificate)
            .map_err(|error| format!("cannot trust {}: {error}", path.display()))?;
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let cannot = |error: rustls::pki_types::pem::Error| {
        format!("cannot read certificates from {}: {error}", path.display())
    };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(cannot)?
        .collect::<Result<_, _>>()
        .map_err(cannot)?;
    if found.is_empty() {
        return Err(format!("{} holds no PEM certificate", path.display()));
    }
    Ok(found)
}

/// Takes any certificate, where the user says so; signatures are still checked.
#[derive(Debug)]
struct Unverified {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A TLS session over a nonblocking socket.
#[derive(Debug)]
pub(super) struct TlsStream {
    session: ClientConnection,
    pub(super) socket: TcpStream,
}

impl TlsStream {
    /// Begins a session with the server called `host`.
    ///
    /// # Errors
    /// A name that no certificate can be for.
    pub(super) fn new(
        config: Arc<ClientConfig>,
        host: &str,
        socket: TcpStream,
    ) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let session = ClientConnection::new(config, name).map_err(|error| error.to_string())?;
        Ok(Self { session, socket })
    }

    /// Still agreeing on keys.
    pub(super) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Ciphertext waits to be written.
    pub(super) fn has_pending(&self) -> bool {
        self.session.wants_write()
    }

    /// Writes waiting ciphertext.
    pub(super) fn write_pending(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            if self.session.write_tls(&mut self.socket)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Encrypts up to a record of `slices` and writes it as far as the socket takes it.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_pending()?;
        let mut accepted = 0;
        for slice in slices {
            let part = &slice[..slice.len().min(RECORD_MAX - accepted)];
            let taken = self.session.writer().write(part)?;
            accepted += taken;
            if taken < slice.len() {
                break;
            }
        }
        match self.write_pending() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(accepted),
        }
    }

    /// Reads ciphertext once and appends what it says to `plain`, from its start. Returns 0 at the end of the stream.
    /// `plain` must have room for a read's worth.
    pub(super) fn read(&mut self, plain: &mut [u8], cipher: &mut Vec<u8>) -> io::Result<usize> {
        // What the session holds back of the last record comes on top of what is read now.
        let room = plain.len().saturating_sub(RECORD_MAX + 2048);
        cipher.resize(room.clamp(1024, CIPHER_READ), 0);
        let got = self.socket.read(cipher)?;
        if got == 0 {
            return Ok(0);
        }
        let mut rest = &cipher[..got];
        let mut filled = 0;
        while !rest.is_empty() {
            let before = rest.len();
            self.session.read_tls(&mut rest)?;
            let progress = self.session.process_new_packets();
            if let Err(error) = progress {
                let _ = self.session.write_tls(&mut self.socket);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            filled += self.drain(&mut plain[filled..])?;
            if rest.len() == before {
                break;
            }
        }
        if self.session.wants_write() {
            match self.write_pending() {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        if filled == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(filled)
    }

    fn drain(&mut self, plain: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < plain.len() {
            match self.session.reader().read(&mut plain[filled..]) {
                Ok(0) => break,
                Ok(got) => filled += got,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

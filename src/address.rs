//! Where a broker is and who we are to it: an AMQP URI that never prints its password.
//!
//! Parsed by the scenario and by the command line, used by the drivers. See the RabbitMQ URI specification
//! (<https://www.rabbitmq.com/docs/uri-spec>).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use amq_protocol::uri::{AMQPScheme, AMQPUri};
use serde::{Deserialize, Serialize};

/// Text that is not an AMQP URI. The text itself is left out, for it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an AMQP address ({reason}), expected `amqp://user:password@host:port/vhost` or `amqps://..`"
)]
pub struct AddressError {
    /// What is wrong with it.
    pub reason: String,
}

/// One broker address with its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Speaks TLS (`amqps`).
    pub tls: bool,
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Virtual host.
    pub vhost: String,
    /// User name.
    pub user: String,
    /// Password. Shown by nothing in this program.
    pub password: String,
}

impl Address {
    /// RabbitMQ's defaults on this machine: `amqp://guest:guest@127.0.0.1:port/`.
    pub fn local(port: u16) -> Self {
        Self {
            tls: false,
            host: "127.0.0.1".into(),
            port,
            vhost: "/".into(),
            user: "guest".into(),
            password: "guest".into(),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let uri = AMQPUri::from_str(text).map_err(|reason| AddressError { reason })?;
        Ok(Self {
            tls: uri.scheme == AMQPScheme::AMQPS,
            host: uri.authority.host,
            port: uri.authority.port,
            // Strictly `amqp://host/` names the virtual host with the empty name; whoever writes it means the default.
            vhost: if uri.vhost.is_empty() {
                "/".into()
            } else {
                uri.vhost
            },
            user: uri.authority.userinfo.username,
            password: uri.authority.userinfo.password,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "amqps" } else { "amqp" };
        let vhost = self.vhost.replace('%', "%25").replace('/', "%2f");
        write!(
            f,
            "{scheme}://{}@{}:{}/{vhost}",
            self.user, self.host, self.port
        )
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a TLS server is checked and how we show who we are. Files are PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// Certificates to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Our own certificate chain.
    pub certificate: Option<PathBuf>,
    /// The key of our own certificate.
    pub key: Option<PathBuf>,
    /// Check the server's certificate and name. Off only where the user says so.
    pub verify: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            ca: None,
            certificate: None,
            key: None,
            verify: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_printing_shows_the_password() {
        let address: Address = "amqps://user:s3cret@broker.example:5671/my%2fhost"
            .parse()
            .expect("a good URI");
        assert_eq!(
            (address.password.as_str(), address.vhost.as_str()),
            ("s3cret", "my/host")
        );
        assert_eq!(
            address.to_string(),
            "amqps://user@broker.example:5671/my%2fhost"
        );
        assert!(!format!("{address:?}").contains("s3cret"));
        let wrong = "amqp://user:s3cret@host:notaport/"
            .parse::<Address>()
            .expect_err("a bad port");
        assert!(!wrong.to_string().contains("s3cret"), "{wrong}");
    }

    #[test]
    fn a_bare_slash_means_the_default_virtual_host() {
        let address: Address = "amqp://guest:guest@localhost:5672/"
            .parse()
            .expect("a good URI");
        assert_eq!(address.vhost, "/");
    }

    #[test]
    fn what_a_uri_leaves_out_takes_rabbitmqs_defaults() {
        let address: Address = "amqp://localhost".parse().expect("a good URI");
        assert_eq!(
            (address.port, address.user.as_str(), address.vhost.as_str()),
            (5672, "guest", "/")
        );
    }
}

//! Who answers on a port: reads the greeting of an AMQP 0-9-1 broker, and hangs up.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::protocol::{AMQPClass, connection::AMQPMethod};
use amq_protocol::types::AMQPValue;

use super::ProvisionError;

const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";
const PATIENCE: Duration = Duration::from_secs(2);
/// A greeting is about 500 bytes; whatever sends more without a whole frame is no broker.
const GREETING_MAX: usize = 64 * 1024;

/// Product and version of the broker at `address`, e.g. `RabbitMQ 4.3.6`.
///
/// # Errors
/// Where nobody answers, or not as an AMQP 0-9-1 broker would.
pub(super) fn look(address: SocketAddr) -> Result<String, ProvisionError> {
    greeting(address).map_err(|reason| ProvisionError::Silent {
        address: address.to_string(),
        reason,
    })
}

fn greeting(address: SocketAddr) -> Result<String, String> {
    let mut stream =
        TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| error.to_string())?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.write_all(PROTOCOL_HEADER))
        .map_err(|error| error.to_string())?;
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    while received.len() < GREETING_MAX {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => received.extend_from_slice(&chunk[..length]),
            Err(error) => return Err(error.to_string()),
        }
        if let Ok((_, frame)) = parse_frame(received.as_slice()) {
            return identity(&frame).ok_or_else(|| "it greets in another way".to_owned());
        }
    }
    Err("it does not greet as a broker does".to_owned())
}

fn identity(frame: &AMQPFrame) -> Option<String> {
    let AMQPFrame::Method(0, AMQPClass::Connection(AMQPMethod::Start(start))) = frame else {
        return None;
    };
    let properties = start.server_properties.inner();
    let text = |key: &str| match properties.get(key) {
        Some(AMQPValue::LongString(text)) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        _ => "?".to_owned(),
    };
    Some(format!("{} {}", text("product"), text("version")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_closed_port_and_a_web_server_are_no_brokers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .unwrap();
        });
        let error = look(address).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()), "{error}");
        server.join().unwrap();
        let error = look(address).unwrap_err().to_string();
        assert!(error.contains("refused"), "{error}");
    }
}

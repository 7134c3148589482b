//! lapin's errors in our terms.

use lapin::{Error, ErrorKind};

use crate::driver::DriverError;

/// What the broker said, with its code; nothing where it was not the broker.
pub(super) fn said(error: &Error) -> Option<String> {
    match error.kind() {
        ErrorKind::ProtocolError(said) => Some(format!("{} {}", said.get_id(), said.get_message())),
        _ => None,
    }
}

/// Why something ended.
pub(super) fn cause(error: &Error) -> String {
    said(error).unwrap_or_else(|| match error.kind() {
        ErrorKind::IOError(error) => error.to_string(),
        _ => error.to_string(),
    })
}

/// A step on an open connection that failed.
pub(super) fn of_step(address: &str, step: &str, error: &Error) -> DriverError {
    let (address, step) = (address.to_owned(), step.to_owned());
    match said(error) {
        Some(said) => DriverError::Refused {
            address,
            step,
            said,
        },
        None => DriverError::Lost {
            address,
            step,
            cause: cause(error),
        },
    }
}

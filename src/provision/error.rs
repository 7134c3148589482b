//! Why a broker could not be had.

use std::path::PathBuf;

use crate::units::Span;

/// Why a broker could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProvisionError {
    /// None of the sources that were tried.
    #[error("no broker can be had here:\n  {}\n  give one with --broker amqp://user:password@host:port/vhost or $MQBENCH_BROKER, or install rabbitmq-server", .reasons.join("\n  "))]
    Nothing {
        /// Why not, for each source.
        reasons: Vec<String>,
    },
    /// A program is not there.
    #[error("{program} was not found in {place}; {remedy}")]
    Missing {
        /// Which.
        program: String,
        /// Where it was looked for.
        place: String,
        /// What to do.
        remedy: String,
    },
    /// A program would not do what it was asked.
    #[error("`{command}` failed: {said}")]
    Refused {
        /// What was run.
        command: String,
        /// What it said.
        said: String,
    },
    /// A node or container ended or did not come up.
    #[error("{what} did not start: {said}")]
    NotStarted {
        /// Which.
        what: String,
        /// The end of its output.
        said: String,
    },
    /// It took too long.
    #[error("{what} was not ready within {limit}: {said}")]
    TimedOut {
        /// Which.
        what: String,
        /// The limit.
        limit: Span,
        /// The end of its output.
        said: String,
    },
    /// What was started is still there.
    #[error("{what} could not be taken down: {reason}")]
    LeftBehind {
        /// Which.
        what: String,
        /// What is left.
        reason: String,
    },
    /// Nobody, or nobody who speaks AMQP 0-9-1, answers.
    #[error("nothing that speaks AMQP 0-9-1 answers on {address}: {reason}")]
    Silent {
        /// Where.
        address: String,
        /// What was found.
        reason: String,
    },
    /// A file or process could not be made.
    #[error("cannot {action} {path}: {reason}", path = .path.display())]
    System {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The user called it off.
    #[error("interrupted while a broker was being started")]
    Interrupted,
}

impl ProvisionError {
    /// Wraps an error of the system for use with `map_err`.
    pub(super) fn system(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |error| Self::System {
            action,
            path,
            reason: error.to_string(),
        }
    }
}

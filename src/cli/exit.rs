//! What the process ends with.

use std::fmt::Display;
use std::process::ExitCode;

/// An exit code. The order is that of precedence: where several apply, the greatest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Every claim passed, or none was made.
    Passed,
    /// The run cannot tell.
    Inconclusive,
    /// The harness could not be trusted.
    Invalid,
    /// A claim failed.
    Failed,
    /// The broker or this machine failed.
    Broken,
    /// The scenario or the command line is wrong.
    Usage,
    /// The user stopped it.
    Interrupted,
}

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Broken => 3,
            Self::Invalid => 4,
            Self::Inconclusive => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a subcommand could not do its work: printed to stderr.
#[derive(Debug)]
pub(crate) struct Failure {
    /// With what the process ends.
    pub(crate) exit: Exit,
    /// What to tell the user.
    pub(crate) message: String,
}

impl Failure {
    /// The user's mistake.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The broker's or the machine's fault.
    pub(crate) fn broken(message: impl Display) -> Self {
        Self::new(Exit::Broken, message)
    }

    pub(crate) fn new(exit: Exit, message: impl Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
        }
    }
}

impl From<mqbench::provision::ProvisionError> for Failure {
    fn from(error: mqbench::provision::ProvisionError) -> Self {
        use mqbench::provision::ProvisionError;
        match error {
            ProvisionError::Interrupted => Self::new(Exit::Interrupted, error),
            _ => Self::broken(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_exit_codes_the_first_of_the_documented_order_wins() {
        let order = [130, 2, 3, 1, 4, 5, 0];
        let mut all = [
            Exit::Passed,
            Exit::Failed,
            Exit::Usage,
            Exit::Broken,
            Exit::Invalid,
            Exit::Inconclusive,
            Exit::Interrupted,
        ];
        all.sort_by(|a, b| b.cmp(a));
        assert_eq!(all.map(Exit::code), order);
    }
}

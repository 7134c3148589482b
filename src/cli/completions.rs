//! `mqbench completions`: what a shell needs to complete mqbench's command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::exit::{Exit, Failure};
use super::{Cli, talk};

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mqbench completions bash > ~/.local/share/bash-completion/completions/mqbench
  mqbench completions zsh > ~/.zfunc/_mqbench
  mqbench completions fish > ~/.config/fish/completions/mqbench.fish")]
pub(crate) struct Arguments {
    /// Which shell.
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "mqbench", &mut script);
    talk::data(&String::from_utf8_lossy(&script));
    Ok(Exit::Passed)
}

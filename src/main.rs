//! The command line of mqbench: parse, run, exit code. Everything else is in [`cli`] and in the library.

mod cli;

use std::process::ExitCode;

/// The recorder and the drivers do not allocate on the load path; what is left, lapin's threads above all, is served
/// best by this one. Named in every record. Not in tests, whose counting allocator is a global one too.
#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main().into()
}

//! Ctrl-C and termination: the first asks to drain and save, the second to stop now, the third ends the process.

use std::sync::atomic::{AtomicBool, Ordering};

use mqbench::engine::StopSignal;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::exit::{Exit, Failure};
use super::talk;

/// What the user has asked for so far. One for the process, for so are its signals.
pub(crate) static STOP: StopSignal = StopSignal::new();
/// A run also asks itself to stop, where its results cannot be stored; that is no interruption.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// The user has asked to stop.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Starts to listen. Called once, before anything is started that would have to be taken down.
pub(crate) fn listen() -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::broken(format!("cannot listen for signals: {error}")))?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for _ in signals.forever() {
                INTERRUPTED.store(true, Ordering::Relaxed);
                STOP.ask();
                match STOP.asked() {
                    1 => talk::say(
                        "stopping: waiting for what is owed, then saving; once more stops now",
                    ),
                    2 => talk::say("stopping now"),
                    // Whatever hangs, hangs. What was started for this process goes by its watchdog.
                    #[allow(clippy::exit)]
                    _ => std::process::exit(i32::from(Exit::Interrupted.code())),
                }
            }
        })
        .map(drop)
        .map_err(|error| Failure::broken(format!("cannot listen for signals: {error}")))
}

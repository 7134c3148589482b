//! The thread on which a tokio runtime drives lapin's sockets, timers and heartbeats.
//!
//! Of its own, and not the worker's: a worker that is late must not make lapin's input and output late with it.

use std::future::Future;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

use crate::driver::DriverError;

/// Ends with its last owner.
#[derive(Debug)]
pub(super) struct Runtime {
    handle: Handle,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Runtime {
    pub(super) fn start() -> Result<Self, DriverError> {
        let refused = |error: std::io::Error| DriverError::System {
            what: "a thread for lapin".into(),
            reason: error.to_string(),
        };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(refused)?;
        let handle = runtime.handle().clone();
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("lapin-runtime".into())
            .spawn(move || {
                runtime.block_on(stopped.notified());
                // Never waits for a name that is still being looked up.
                runtime.shutdown_background();
            })
            .map_err(refused)?;
        Ok(Self {
            handle,
            stop,
            thread: Some(thread),
        })
    }

    /// Runs a future on the calling thread, its timers and sockets served by the runtime's.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

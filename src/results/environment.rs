//! What the machine that makes the load is, read once before a run.

use std::hint::black_box;

use super::Environment;
use crate::clock::{self, Clock, Monotonic};

/// Readings in one batch, and batches, of the measurement of the clock's own cost.
const READS: u64 = 200;
const BATCHES: usize = 51;

/// Looks at this machine. Takes about a millisecond; what cannot be found out stays empty.
pub fn environment() -> Environment {
    let system = sysinfo::System::new_with_specifics(
        sysinfo::RefreshKind::nothing()
            .with_memory(sysinfo::MemoryRefreshKind::nothing().with_ram())
            .with_cpu(sysinfo::CpuRefreshKind::nothing()),
    )
    .ok();
    let clocksource =
        std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    Environment {
        host: sysinfo::System::host_name().unwrap_or_default(),
        os: sysinfo::System::long_os_version().unwrap_or_default(),
        kernel: sysinfo::System::kernel_version().unwrap_or_default(),
        cpu: system
            .as_ref()
            .and_then(|system| system.cpus().first())
            .map(|cpu| cpu.brand().trim().to_owned())
            .unwrap_or_default(),
        cpus: std::thread::available_parallelism().map_or(0, usize::from),
        memory: system.as_ref().map_or(0, sysinfo::System::total_memory),
        clocksource: clocksource
            .map(|text| text.trim().to_owned())
            .unwrap_or_default(),
        clock_resolution_ns: clock::resolution().as_ns(),
        clock_read_ns: clock_read_ns(&Monotonic),
    }
}

/// Median over batches of the mean cost of one reading, rounded up, in ns.
fn clock_read_ns(clock: &impl Clock) -> u64 {
    let mut batches: Vec<u64> = (0..BATCHES)
        .map(|_| {
            let start = clock.now();
            for _ in 0..READS {
                black_box(clock.now());
            }
            clock.now().saturating_since(start).as_ns().div_ceil(READS)
        })
        .collect();
    batches.sort_unstable();
    batches[BATCHES / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name_for_everything() {
        let found = environment();
        assert!(found.cpus >= 1, "{found:?}");
        assert!(found.memory > 1 << 20, "{found:?}");
        assert!(
            !found.kernel.is_empty() && !found.os.is_empty(),
            "{found:?}"
        );
        assert!(found.clock_read_ns >= 1, "{found:?}");
    }
}

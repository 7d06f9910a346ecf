//! The memory that a request may take.

/// The bytes that one request may take unless [`Problem::memory_budget`](crate::Problem::memory_budget) says otherwise: four fifths of the memory that the
/// system reports as available; 4 GiB where it reports nothing.
pub fn available_memory() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    (meminfo.lines())
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map_or(4 << 30, |kib| kib / 5 * 4 * 1024)
}

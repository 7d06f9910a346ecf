//! The memory that this process may take, arrays that are refused where it does not suffice, and the arithmetic of their sizes: what
//! a user's numbers decide is multiplied here alone, and never wraps.
//!
//! The budget is the least of what the system reports: available memory, the limits of the process (`ulimit -v`,
//! `ulimit -d`) and those of its control groups. Limits are read once, what is used of them each time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::Zeroable;
use bytemuck::allocation::try_zeroed_vec;

use crate::error::{Error, Result};

/// Taken for available where the system reports nothing.
const UNKNOWN: u64 = 4 << 30;

/// Bytes from which an array is asked for in a way that can fail.
const LARGE: u64 = 1 << 20;

/// Bytes from which it takes far longer to clear an array than to ask what memory there is.
const HUGE: u64 = 64 << 20;

/// Bytes by [`limit_memory`].
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Returns the bytes that one request may take unless [`Problem::memory_budget`](crate::Problem::memory_budget) says
/// otherwise: four fifths of the memory that the system, the limits of the process and its control groups leave, and no more
/// than [`limit_memory`] allows; of 4 GiB where the system reports nothing.
pub fn available_memory() -> u64 {
    room().bytes
}

/// Limits what [`available_memory`] returns, for all of this process: several processes of one machine can share its memory.
///
/// ```
/// secondo::limit_memory(1 << 30);
/// assert!(secondo::available_memory() <= 1 << 30);
/// ```
pub fn limit_memory(bytes: u64) {
    LIMIT.store(bytes, Ordering::Relaxed);
}

/// Refuses what needs more bytes than [`available_memory`].
///
/// # Errors
/// `Memory` with the numbers, the `advice`, and what limits the memory.
///
/// ```
/// let error = secondo::require_memory("a table", 1 << 60, "leave out rows").unwrap_err();
/// assert!(error.to_string().starts_with("a table needs 1048576.00 TiB and may take "));
/// ```
pub fn require_memory(what: &str, need: u64, advice: &str) -> Result<()> {
    let room = room();
    if need <= room.bytes {
        return Ok(());
    }
    Err(beyond(what, need, room.bytes, &format!("{advice} (the limit is {})", room.by)))
}

fn beyond(what: &str, need: u64, budget: u64, advice: &str) -> Error {
    Error::Memory { what: what.into(), need, budget, advice: advice.into() }
}

/// Returns so many bytes as a number, or the largest where they are beyond it.
pub(crate) fn bytes_of(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |product: u64, &f| product.saturating_mul(f as u64))
}

/// Returns a product of lengths.
///
/// # Errors
/// `TooLarge` that names what is too large.
pub(crate) fn shape_product(what: &str, lengths: &[usize]) -> Result<usize> {
    (lengths.iter())
        .try_fold(1usize, |p, &l| p.checked_mul(l))
        .ok_or_else(|| Error::TooLarge { what: what.into() })
}

/// Refuses what is so large that asking costs little beside it, and needs more bytes than [`available_memory`]. Where the address space is limited
/// that is asked for smaller arrays, too: a fifth of what is left stays for those whose refusal cannot be caught.
///
/// # Errors
/// As [`require_memory`].
pub(crate) fn require_large(what: &str, need: u64, advice: &str) -> Result<()> {
    let least = if is_address_space_limited() { LARGE } else { HUGE };
    if need < least { Ok(()) } else { require_memory(what, need, advice) }
}

/// Returns so many numbers 0.
///
/// # Errors
/// `Memory` where there are not as many bytes, or the system does not give them.
pub(crate) fn zeros<T: Zeroable>(what: &str, len: usize) -> Result<Vec<T>> {
    let need = bytes_of(&[len, size_of::<T>()]);
    require_large(what, need, "ask for less")?;
    // It comes cleared, so that none of it is touched.
    try_zeroed_vec(len).map_err(|()| refused(what, need))
}

/// Asks for room for so many `T` and gives it back: for what takes memory itself, where a refusal cannot be caught.
///
/// # Errors
/// As [`with_room`].
pub(crate) fn ask_for<T>(what: &str, len: usize) -> Result<()> {
    // Without this the compiler may leave out memory that nobody uses.
    std::hint::black_box(with_room::<T>(what, len)?);
    Ok(())
}

/// Returns an empty list with room for so many.
///
/// # Errors
/// `Memory` where there are not as many bytes, or the system does not give them.
pub(crate) fn with_room<T>(what: &str, len: usize) -> Result<Vec<T>> {
    let need = bytes_of(&[len, size_of::<T>()]);
    require_large(what, need, "ask for less")?;
    let mut asked = Vec::new();
    asked.try_reserve_exact(len).map_err(|_| refused(what, need))?;
    Ok(asked)
}

/// Returns a copy of the numbers.
///
/// # Errors
/// As [`with_room`].
pub(crate) fn copied(what: &str, numbers: &[f64]) -> Result<Vec<f64>> {
    let mut copy = with_room(what, numbers.len())?;
    copy.extend_from_slice(numbers);
    Ok(copy)
}

/// The error where the system does not give so many bytes.
pub(crate) fn refused(what: &str, need: u64) -> Error {
    let advice = "the system refused it; end other programs, or ask for less";
    beyond(what, need, available_memory(), advice)
}

/// Bytes that may be taken, and what allows no more.
struct Room {
    bytes: u64,
    by: &'static str,
}

/// Returns whether this process has a limit on its address space, which reserved memory counts against that is never touched.
pub fn is_address_space_limited() -> bool {
    limits().address_space.is_some()
}

fn limits() -> &'static Limits {
    static LIMITS: OnceLock<Limits> = OnceLock::new();
    LIMITS.get_or_init(|| Limits::read(Path::new("/proc"), Path::new("/sys/fs/cgroup")))
}

fn room() -> Room {
    let limits = limits();
    // This is asked for often, and the second file takes the system some time.
    let bounded = limits.address_space.is_some() || limits.data.is_some();
    let status = if bounded { text(Path::new("/proc/self/status")) } else { String::new() };
    let left = limits.left(&text(Path::new("/proc/meminfo")), &status);
    let own = (LIMIT.load(Ordering::Relaxed), "that of this program");
    let rest = left.into_iter().map(|(bytes, by)| (bytes / 5 * 4, by)).chain([own]);
    let (bytes, by) = rest.min_by_key(|(bytes, _)| *bytes).unwrap_or(own);
    Room { bytes, by }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Limits of this process that do not change while it runs.
#[derive(Debug, Default, PartialEq)]
struct Limits {
    address_space: Option<u64>,
    data: Option<u64>,
    groups: Vec<Group>,
    /// The memory of the machine, where there is no report of what is available.
    machine: Option<u64>,
}

/// A control group with a limit, and the files that tell what is used of it.
#[derive(Debug, PartialEq)]
struct Group {
    limit: u64,
    usage: PathBuf,
    details: PathBuf,
}

impl Limits {
    /// Reads the limits from the folder of processes and from that of control groups.
    fn read(processes: &Path, groups: &Path) -> Self {
        let own = text(&processes.join("self/limits"));
        Limits {
            address_space: soft_limit(&own, "Max address space"),
            data: soft_limit(&own, "Max data size"),
            groups: groups_of(&text(&processes.join("self/cgroup")), groups),
            machine: machine(),
        }
    }

    /// The bytes that each limit leaves.
    fn left(&self, meminfo: &str, status: &str) -> Vec<(u64, &'static str)> {
        let available = kibibytes(meminfo, "MemAvailable:").or(self.machine).unwrap_or(UNKNOWN);
        let used = |name: &str| kibibytes(status, name).unwrap_or(0);
        let mut left = vec![(available, "four fifths of the memory that is available")];
        if let Some(limit) = self.address_space {
            let rest = limit.saturating_sub(used("VmSize:"));
            left.push((
                rest,
                "four fifths of what the limit of the address space, ulimit -v, leaves",
            ));
        }
        if let Some(limit) = self.data {
            let rest = limit.saturating_sub(used("VmData:"));
            left.push((rest, "four fifths of what the limit of data, ulimit -d, leaves"));
        }
        for group in &self.groups {
            left.push((group.left(), "four fifths of what the control group leaves"));
        }
        left
    }
}

impl Group {
    /// The limit less what is used and cannot be given back: files that are cached can.
    fn left(&self) -> u64 {
        let number = |path: &Path| text(path).trim().parse::<u64>().unwrap_or(0);
        let details = text(&self.details);
        let cached = (details.lines())
            .filter_map(|line| line.split_once(' '))
            .find(|(name, _)| matches!(*name, "inactive_file" | "total_inactive_file"))
            .and_then(|(_, bytes)| bytes.trim().parse::<u64>().ok());
        let used = number(&self.usage).saturating_sub(cached.unwrap_or(0));
        self.limit.saturating_sub(used)
    }
}

/// The bytes in a line such as `MemAvailable:    1024 kB`.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The soft limit in a line such as `Max data size    1024    unlimited    bytes`.
fn soft_limit(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The control groups with a limit, from the own one to the root: of version 2 (`0::PATH`) and of version 1 (`N:memory:PATH`).
fn groups_of(cgroup: &str, root: &Path) -> Vec<Group> {
    let mut found = Vec::new();
    for line in cgroup.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, limit, usage) = if controllers.is_empty() {
            (root.to_path_buf(), "memory.max", "memory.current")
        } else if controllers.split(',').any(|c| c == "memory") {
            (root.join("memory"), "memory.limit_in_bytes", "memory.usage_in_bytes")
        } else {
            continue;
        };
        for folder in Path::new(path.trim_start_matches('/')).ancestors() {
            let folder = root.join(folder);
            let Ok(bytes) = text(&folder.join(limit)).trim().parse::<u64>() else {
                continue;
            };
            // Version 1 says so where there is none.
            if bytes < 1 << 60 {
                let (usage, details) = (folder.join(usage), folder.join("memory.stat"));
                found.push(Group { limit: bytes, usage, details });
            }
        }
    }
    found
}

/// The memory of the machine where it is told by a program of the system.
#[cfg(target_os = "macos")]
fn machine() -> Option<u64> {
    let said = std::process::Command::new("/usr/sbin/sysctl").args(["-n", "hw.memsize"]).output();
    String::from_utf8(said.ok()?.stdout).ok()?.trim().parse().ok()
}

#[cfg(not(target_os = "macos"))]
fn machine() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:  100 kB\nMemAvailable:       50 kB\n";
    const STATUS: &str = "Name:\tx\nVmSize:\t  10 kB\nVmData:\t   4 kB\n";
    const NONE: &str =
        "Max data size             unlimited            unlimited            bytes     \n";

    fn least(limits: &Limits) -> (u64, &'static str) {
        limits.left(MEMINFO, STATUS).into_iter().min().unwrap()
    }

    #[test]
    fn the_least_of_all_limits_decides() {
        assert_eq!(soft_limit(NONE, "Max data size"), None);
        assert_eq!(
            soft_limit("Max address space   2048  4096  bytes", "Max address space"),
            Some(2048)
        );
        let none = Limits::default();
        assert_eq!(least(&none).0, 50 * 1024);
        assert_eq!(none.left("", "")[0].0, UNKNOWN);
        let space = Limits { address_space: Some(30 * 1024), ..Limits::default() };
        let (bytes, by) = least(&space);
        assert!(bytes == 20 * 1024 && by.contains("ulimit -v"), "{bytes} {by}");
        let data = Limits { data: Some(3 * 1024), ..Limits::default() };
        assert!(least(&data).0 == 0 && least(&data).1.contains("ulimit -d"));
    }

    #[test]
    fn groups_of_both_versions_are_found_up_to_the_root() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("a/b/memory.max", "max\n");
        put("a/memory.max", "1000\n");
        put("a/memory.current", "700\n");
        put("a/memory.stat", "anon 1\ninactive_file 100\n");
        put("memory/c/memory.limit_in_bytes", "500\n");
        put("memory/memory.limit_in_bytes", "9223372036854771712\n");
        let found = groups_of("3:cpu:/c\n2:memory,x:/c\n0::/a/b\n", root.path());
        let left: Vec<u64> = found.iter().map(Group::left).collect();
        assert_eq!(left, [500, 400]);
        let limits = Limits { groups: found, ..Limits::default() };
        assert!(least(&limits) == (400, "four fifths of what the control group leaves"));
    }

    #[test]
    fn what_is_refused_is_an_error() {
        let error = require_memory("a matrix", u64::MAX, "use products").unwrap_err();
        assert!(error.to_string().contains("use products (the limit is four fifths of"), "{error}");
        assert!(matches!(zeros::<f64>("a matrix", usize::MAX), Err(Error::Memory { .. })));
        assert_eq!(zeros::<f64>("a vector", 3), Ok(vec![0.0; 3]));
        assert_eq!(bytes_of(&[usize::MAX, 8]), u64::MAX);
    }
}

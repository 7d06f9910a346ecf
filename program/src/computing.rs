//! The options that say where and how precisely to compute.

use std::sync::{Arc, Mutex, PoisonError};

use clap::{Args, ValueEnum};
use secondo::{Device, scratch_of_thread};

use crate::exit::Failure;
use crate::output::say_note;

/// Where and how precisely to compute.
#[derive(Debug, Args)]
#[command(next_help_heading = "Computing")]
pub struct Computing {
    /// Where to compute: cpu, gpu, gpu:NAME, several as in gpu:0,gpu:1, gpu:all or auto
    ///
    /// gpu is the first hardware adapter (a GPU) that 'secondo adapters' lists, gpu:NAME the first whose name contains
    /// NAME, gpu:N with one or two digits the one of that number. Several adapters, gpu:0,gpu:1 or gpu:all for all that are
    /// hardware, share the rows, from 8,192 on, by their measured speed, so that last digits may differ from run to run where the adapters differ; one that is lost is left out. auto is a hardware adapter for large fits and the
    /// CPU for all else; it never takes a software adapter.
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = device)]
    device: String,
    /// The floating-point precision: f64 or f32 [default: f32 on a named adapter, else f64]
    ///
    /// A fit in f32 computes value, gradient and curvature so, as long as f32 decides, which is measured; then value and gradient are
    /// the CPU's in f64, to the same tolerance. Derivatives of a problem file or a model are wholly in f32. In f64 an adapter computes all but factorizations and solves.
    #[arg(long, value_name = "PRECISION")]
    precision: Option<Precision>,
    /// The number of CPU threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    pub threads: Option<u32>,
    /// The memory that this process may take, such as 4G or 500M [default: four fifths of what the system leaves it]
    ///
    /// Several processes of one machine share its memory so. It bounds what is planned; what cannot fit is refused.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Precision {
    F64,
    F32,
}

fn device(text: &str) -> Result<String, String> {
    match text {
        "auto" | "cpu" => Ok(text.into()),
        // The library knows the rest.
        _ if text.starts_with("gpu") => Ok(text.into()),
        _ => Err("known: auto, cpu, gpu, gpu:NAME with a name or number from 'secondo adapters', \
                 several such as gpu:0,gpu:1, gpu:all"
            .into()),
    }
}

impl Computing {
    /// Whether a fit never takes an adapter, or only where it would be faster.
    pub fn may_stay_on_processor(&self) -> bool {
        match self.device.as_str() {
            "cpu" => true,
            "auto" => self.precision != Some(Precision::F32),
            _ => false,
        }
    }
}

/// Bytes: a number, and K, M, G or T for powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let (digits, power) = match text.char_indices().last() {
        Some((at, unit)) => match "kmgt".find(unit.to_ascii_lowercase()) {
            Some(power) => (&text[..at], power as u32 + 1),
            None => (text, 0),
        },
        None => (text, 0),
    };
    (digits.parse::<u64>().ok())
        .and_then(|number| number.checked_mul(1024_u64.pow(power)))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "must be a number of bytes, such as 500M or 4G".into())
}

/// More threads than this only take memory, unless there are more cores.
const MOST_THREADS: usize = 256;

/// Starts the threads of the pool: as many as are asked for by option or by RAYON_NUM_THREADS, or one for each core; as many
/// as the system allows.
pub fn start_threads(asked: Option<u32>) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let variable = || std::env::var("RAYON_NUM_THREADS").ok()?.parse::<usize>().ok();
    let asked = asked.map(|threads| threads as usize).or_else(variable).filter(|n| *n > 0);
    let most = MOST_THREADS.max(cores);
    let wanted = asked.unwrap_or(cores).min(most);
    if let Some(asked) = asked.filter(|asked| *asked > most) {
        say_note(&format!("{asked} threads were asked for; no more than {most} are started"));
    }
    let (mut started, refused) = startable(wanted);
    let mut why = refused.map(|error| error.to_string());
    let limited = secondo::is_address_space_limited();
    if limited {
        let (spaces, bytes) = (scratch_spaces(started + 1), scratch_of_thread());
        let reserves = format!(
            "the library for matrix products reserves {bytes} bytes of address space for each"
        );
        if spaces == 0 {
            let advice = "raise the limit of the address space (ulimit -v)";
            return Err(Failure::resources(format!("no thread can compute: {reserves}; {advice}")));
        }
        // One space is for the thread that asks.
        if spaces <= started {
            started = spaces - 1;
            why = Some(reserves);
        }
    }
    if let Some(why) = why {
        say_note(&format!("{started} of {wanted} threads can be started: {why}"));
    }
    let builder = rayon::ThreadPoolBuilder::new();
    let built = match started {
        // The pool is the thread that asks for it.
        0 => builder.num_threads(1).use_current_thread().build_global(),
        _ => builder.num_threads(started).build_global(),
    };
    built.map_err(|e| Failure::resources(format!("cannot start {wanted} threads: {e}")))?;
    if limited {
        // Memory that is reserved now is not taken for free later.
        secondo::reserve_scratch()?;
    }
    Ok(())
}

/// How many of so many scratch spaces there is room for.
fn scratch_spaces(wanted: usize) -> usize {
    let mut all = Vec::new();
    for _ in 0..wanted {
        let mut space = Vec::<u8>::new();
        if space.try_reserve_exact(scratch_of_thread()).is_err() {
            break;
        }
        all.push(space);
    }
    // Without this the compiler may leave out memory that nobody uses.
    std::hint::black_box(&all);
    all.len()
}

/// How many of so many threads the system allows at once, and why no more. A pool cannot be asked: one that fails cannot be tried
/// again.
fn startable(wanted: usize) -> (usize, Option<std::io::Error>) {
    let keep = Arc::new(Mutex::new(()));
    // The threads wait for it, so that all of them are there at once.
    let held = keep.lock().unwrap_or_else(PoisonError::into_inner);
    let mut threads = Vec::new();
    let mut refused = None;
    for _ in 0..wanted {
        let keep = keep.clone();
        let until = move || drop(keep.lock());
        match std::thread::Builder::new().spawn(until) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    drop(held);
    let started = threads.len();
    threads.into_iter().for_each(|thread| drop(thread.join()));
    (started, refused)
}

impl Computing {
    /// The device, tested, with the threads started. `auto` takes a hardware adapter for the large requests of a fit, which
    /// decides in f64; single derivatives are never less precise than asked for.
    pub fn start(&self, fit: bool) -> Result<Device, Failure> {
        if let Some(bytes) = self.memory {
            secondo::limit_memory(bytes);
        }
        let single = self.precision == Some(Precision::F32);
        if self.device.starts_with("gpu") || self.device == "auto" && (fit || single) {
            // First, since it may begin the program anew.
            quiet_drivers();
        }
        start_threads(self.threads)?;
        let double = self.precision == Some(Precision::F64);
        Ok(match self.device.as_str() {
            "cpu" if single => Device::CpuF32,
            "auto" if single => adapter("gpu", double).unwrap_or(Device::CpuF32),
            "auto" if fit && !double => Device::auto(),
            "cpu" | "auto" => Device::Cpu,
            gpu => adapter(gpu, double)?,
        })
    }
}

/// Runs the program again with the variable XDG_RUNTIME_DIR, where it is not set: Mesa's drivers complain of that on standard error, where the
/// program's own notes are. The folder for temporary files serves; nothing is written there.
pub fn quiet_drivers() {
    #[cfg(all(unix, feature = "gpu"))]
    if std::env::var_os("XDG_RUNTIME_DIR").is_none()
        && let Ok(program) = std::env::current_exe()
    {
        use std::os::unix::process::CommandExt;
        let mut again = std::process::Command::new(program);
        again.args(std::env::args_os().skip(1)).env("XDG_RUNTIME_DIR", std::env::temp_dir());
        // It comes back only where it failed, and then the complaint is all that is lost.
        drop(again.exec());
    }
}

/// The adapters of a text such as `gpu`, `gpu:NAME`, `gpu:0,gpu:1` or `gpu:all`.
#[cfg(feature = "gpu")]
fn adapter(text: &str, in_f64: bool) -> Result<Device, Failure> {
    let device = Device::named(text)?;
    Ok(if in_f64 { device.in_f64()? } else { device })
}

#[cfg(not(feature = "gpu"))]
fn adapter(_: &str, _: bool) -> Result<Device, Failure> {
    Err(Failure::resources("this program was built without the feature gpu; use --device cpu"))
}

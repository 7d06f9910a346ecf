//! Built pipelines, kept on disk for the next start where the driver hands them out: through Vulkan.
//!
//! Each adapter has one file: the driver's bytes behind a hash of them, of the adapter with its driver, and of this
//! crate's version. Whatever else is found there (a file that is damaged, foreign, or of another driver) is ignored and
//! replaced. Nothing here fails: without a file, pipelines are built as at the first start.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a file at most. Beyond, the file is removed and the next start begins anew.
const MOST: u64 = 32 << 20;

/// Returns the folder `secondo` in the user's folder for caches; none where the variable `SECONDO_PIPELINE_CACHE` is `off`,
/// or where the system names no such folder.
pub fn default_folder() -> Option<PathBuf> {
    if std::env::var_os("SECONDO_PIPELINE_CACHE").is_some_and(|value| value == "off") {
        return None;
    }
    let folder = |name| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    // Systems with Metal have no such cache.
    let caches = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else {
        folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))
    };
    Some(caches?.join("secondo"))
}

/// The driver's cache of pipelines, and the file that it came from.
#[derive(Debug)]
pub struct PipelineCache {
    cache: wgpu::PipelineCache,
    file: File,
    /// The driver's bytes as the file held them.
    loaded: Option<Vec<u8>>,
}

impl PipelineCache {
    /// Opens the adapter's file in that folder; none where the driver has no such cache.
    pub fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo, folder: &Path) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let file = File {
            path: folder.join(wgpu::util::pipeline_cache_key(info)?),
            owner: format!("{} {info:?}", env!("CARGO_PKG_VERSION")),
        };
        let loaded = file.read();
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: Some("secondo"),
            data: loaded.as_deref(),
            fallback: true,
        };
        // SAFETY: the hash says that `save` wrote these bytes, which the same driver returned for the same adapter.
        #[allow(unsafe_code)]
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        match pollster::block_on(scope.pop()) {
            Some(_) => None,
            None => Some(PipelineCache { cache, file, loaded }),
        }
    }

    /// The driver's cache.
    pub fn raw(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Writes what the driver has now, if it is something else than what was read.
    pub fn save(&self) {
        let data = self.cache.get_data();
        if let Some(data) = data.filter(|data| self.loaded.as_ref() != Some(data)) {
            // The next start builds the pipelines again: no reason to complain.
            let _ = self.file.write(&data);
        }
    }
}

/// A file, and what its contents belong to.
#[derive(Debug)]
struct File {
    path: PathBuf,
    owner: String,
}

impl File {
    /// Returns the hash that stands before the data. Of another version of Rust it may be another: then the file is ignored.
    fn hash(&self, data: &[u8]) -> [u8; 8] {
        let mut hasher = DefaultHasher::new();
        (&self.owner, data).hash(&mut hasher);
        hasher.finish().to_le_bytes()
    }

    /// Returns the data, if they are whole and the owner's.
    fn read(&self) -> Option<Vec<u8>> {
        let found = fs::metadata(&self.path).ok()?;
        if !found.is_file() || found.len() > MOST {
            return None;
        }
        let mut hash = [0; 8];
        let mut data = Vec::new();
        let mut file = fs::File::open(&self.path).ok()?.take(MOST);
        file.read_exact(&mut hash).ok()?;
        file.read_to_end(&mut data).ok()?;
        (hash == self.hash(&data)).then_some(data)
    }

    /// Replaces the file as a whole, so that a reader never finds one half written.
    fn write(&self, data: &[u8]) -> io::Result<()> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let hash = self.hash(data);
        if (hash.len() + data.len()) as u64 > MOST {
            return fs::remove_file(&self.path);
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = (self.path).with_extension(format!("{}-{count}.tmp", std::process::id()));
        let written = fs::write(&temporary, [&hash[..], data].concat())
            .and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path) -> File {
        File { path: folder.join("deeper").join("cache"), owner: "1 adapter, driver".into() }
    }

    #[test]
    fn what_was_written_is_read_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        assert_eq!(file.read(), None);
        for data in [vec![], vec![7; 1000], vec![1, 2, 3]] {
            file.write(&data).unwrap();
            assert_eq!(file.read(), Some(data));
        }
        let other = File { owner: "1 adapter, newer driver".into(), path: file.path.clone() };
        assert_eq!(other.read(), None);
        // Nothing is left beside it.
        let folder = file.path.parent().unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_file_is_ignored_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        let data: Vec<u8> = (0..200).collect();
        file.write(&data).unwrap();
        let good = fs::read(&file.path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&file.path, bad).unwrap();
            assert_eq!(file.read(), None, "byte {at}");
            fs::write(&file.path, &good[..at]).unwrap();
            assert_eq!(file.read(), None, "cut to {at} bytes");
        }
        fs::write(&file.path, [&good[..], b"more"].concat()).unwrap();
        assert_eq!(file.read(), None);
        file.write(&data).unwrap();
        assert_eq!(file.read(), Some(data));
    }

    #[test]
    fn a_file_is_bounded_and_a_folder_in_its_place_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        file.write(&[1]).unwrap();
        file.write(&vec![0; MOST as usize]).unwrap();
        assert!(!file.path.exists());
        fs::create_dir_all(&file.path).unwrap();
        assert_eq!(file.read(), None);
        assert!(file.write(&[1]).is_err());
        assert_eq!(file.read(), None);
    }

    /// Every start computes, whatever it finds, and leaves a file that the next one reads.
    #[test]
    fn an_adapter_starts_from_any_file() {
        use crate::backend::gpu::{Gpu, Options};
        use crate::backend::kernel::Scale;
        use crate::backend::{Backend, Layout, View, ViewMut};
        let folder = tempfile::tempdir().unwrap();
        let name = std::env::var("SECONDO_TEST_ADAPTER").unwrap_or("llvmpipe".into());
        let start = || {
            let options =
                Options { pipeline_cache: Some(folder.path().join("kept")), ..Options::default() };
            let gpu = Gpu::open(Some(&name), options).unwrap();
            let two = gpu.upload(&[2.0]).unwrap();
            let mut a = gpu.upload(&[3.0]).unwrap();
            let one = Layout::rows_of(1, 1);
            let (by, out) = (View::new(&two, one), ViewMut::new(&mut a, one));
            gpu.run(Scale { by, out }.into()).unwrap();
            assert_eq!(gpu.download(&a).unwrap(), [6.0]);
            assert!(!gpu.times().building.is_zero());
        };
        start();
        let Ok(found) = fs::read_dir(folder.path().join("kept")) else {
            // The driver has no such cache.
            return;
        };
        let path = found.last().unwrap().unwrap().path();
        let first = fs::read(&path).unwrap();
        for content in [first.clone(), b"foreign".to_vec(), Vec::new()] {
            let ignored = content != first;
            fs::write(&path, content).unwrap();
            start();
            let after = fs::read(&path).unwrap();
            assert!(!ignored || after.len() > 8, "it was not replaced");
        }
        // A folder that cannot be made is no reason to fail either.
        fs::remove_dir_all(folder.path().join("kept")).unwrap();
        fs::write(folder.path().join("kept"), "a file").unwrap();
        start();
    }
}

//! NumPy's files: arrays, and archives of named arrays without compression, as `numpy.load` reads them.

use std::io::{self, Write};

use crc32fast::Hasher;

/// The header before the numbers of an array, in version 1.0 of NumPy's format.
pub fn head(kind: &str, shape: &[usize]) -> Vec<u8> {
    let shape: String = shape.iter().map(|len| format!("{len},")).collect();
    let mut head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    // It is a multiple of 64 bytes, and ends a line.
    let before = 10 + head.len() + 1;
    head += &" ".repeat(before.next_multiple_of(64) - before);
    head += "\n";
    let magic = b"\x93NUMPY\x01\x00".iter().copied();
    magic.chain((head.len() as u16).to_le_bytes()).chain(head.bytes()).collect()
}

/// An archive that is being written: each file, and at the end the directory.
pub struct Arrays<W: Write> {
    out: W,
    /// Bytes so far.
    written: u64,
    directory: Vec<u8>,
    files: u64,
}

/// Sizes and checksum follow the contents.
const FOLLOW: u16 = 1 << 3;
/// 1 January 1980, the first day that the format has.
const DAY: u16 = (1 << 5) | 1;

impl<W: Write> Arrays<W> {
    pub fn new(out: W) -> Self {
        Arrays { out, written: 0, directory: Vec::new(), files: 0 }
    }

    /// An array of this shape, row by row.
    pub fn numbers(
        &mut self,
        name: &str,
        shape: &[usize],
        values: impl IntoIterator<Item = f64>,
    ) -> io::Result<()> {
        let bytes = values.into_iter().map(f64::to_le_bytes);
        self.array(name, "<f8", shape, bytes)
    }

    /// A text, without a dimension.
    pub fn text(&mut self, name: &str, text: &str) -> io::Result<()> {
        let bytes = text.chars().map(|c| u32::from(c).to_le_bytes());
        self.array(name, &format!("<U{}", text.chars().count()), &[], bytes)
    }

    /// A file with an array in version 1.0 of NumPy's format.
    fn array<const N: usize>(
        &mut self,
        name: &str,
        kind: &str,
        shape: &[usize],
        entries: impl Iterator<Item = [u8; N]>,
    ) -> io::Result<()> {
        let (name, at) = (format!("{name}.npy"), self.written);
        self.record(&[&0x0403_4b50u32.to_le_bytes(), &entry(0, 0, &name), name.as_bytes()])?;
        let (mut sum, start) = (Hasher::new(), self.written);
        let head = head(kind, shape);
        sum.update(&head);
        self.record(&[&head])?;
        for bytes in entries {
            sum.update(&bytes);
            self.record(&[&bytes])?;
        }
        let (sum, len) = (sum.finalize(), small(self.written - start)?);
        let [a, b] = [sum, len].map(u32::to_le_bytes);
        self.record(&[&0x0807_4b50u32.to_le_bytes(), &a, &b, &b])?;
        let place = small(at)?.to_le_bytes();
        let parts: [&[u8]; 6] = [
            &0x0201_4b50u32.to_le_bytes(),
            &20u16.to_le_bytes(),
            &entry(sum, len, &name),
            // No comment, the first disk, no attributes.
            &[0; 10],
            &place,
            name.as_bytes(),
        ];
        self.directory.extend(parts.concat());
        self.files += 1;
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<()> {
        let (at, directory) = (small(self.written)?, std::mem::take(&mut self.directory));
        let files = u16::try_from(self.files).map_err(|_| too_large())?.to_le_bytes();
        let len = small(directory.len() as u64)?.to_le_bytes();
        let end: [&[u8]; 7] = [
            &0x0605_4b50u32.to_le_bytes(),
            &[0; 4],
            &files,
            &files,
            &len,
            &at.to_le_bytes(),
            &[0; 2],
        ];
        self.record(&[&directory])?;
        self.record(&end)
    }

    fn record(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            self.out.write_all(part)?;
            self.written += part.len() as u64;
        }
        Ok(())
    }
}

/// The fields that a file's header and its entry in the directory share: version, flags, method, time, checksum, sizes, lengths.
fn entry(sum: u32, len: u32, name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for v in [20, FOLLOW, 0, 0, DAY] {
        out.extend(v.to_le_bytes());
    }
    // The upper half of the last is the length of an extra field.
    for v in [sum, len, len, name.len() as u32] {
        out.extend(v.to_le_bytes());
    }
    out
}

/// A size or a place that the format holds.
fn small(bytes: u64) -> io::Result<u32> {
    u32::try_from(bytes).map_err(|_| too_large())
}

fn too_large() -> io::Error {
    let why = "a .npz file holds up to 4 GiB and 65,535 arrays here; write .json";
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

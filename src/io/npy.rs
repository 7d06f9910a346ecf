//! NumPy's `.npy` files.

use std::path::Path;

use ndarray::{Array2, ShapeBuilder};

use super::files;
use super::json::format_error;
use crate::error::{Error, Result};
use crate::memory::shape_product;

/// The numbers of a `.npy` file with one or two dimensions, floats, whole numbers or truth values; one dimension is one row.
///
/// # Errors
/// A file that cannot be read, is no such file, is incomplete, or has a number that is not finite.
pub fn array_from_npy(path: &Path) -> Result<Array2<f64>> {
    parse(&files::read(path)?, path)
}

/// Shape and numbers of an array in the bytes of a `.npy` file, row by row; `path` is for messages.
pub(super) fn tensor(bytes: &[u8], path: &Path) -> Result<(Vec<usize>, Vec<f64>)> {
    let (shape, array) = shaped(bytes, path)?;
    Ok((shape, array.into_raw_vec_and_offset().0))
}

fn parse(bytes: &[u8], path: &Path) -> Result<Array2<f64>> {
    shaped(bytes, path).map(|(_, array)| array)
}

fn shaped(bytes: &[u8], path: &Path) -> Result<(Vec<usize>, Array2<f64>)> {
    let (numbers, Header { fortran, shape, .. }) = numbers(bytes, path)?;
    let [rows, columns] = Header::rectangle(&shape, path)?;
    if let Some(at) = numbers.iter().position(|v| !v.is_finite()) {
        return Err(Error::non_finite(path.display().to_string(), &[at]));
    }
    Array2::from_shape_vec((rows, columns).set_f(fortran && rows > 1), numbers)
        .map(|array| (shape, array.as_standard_layout().into_owned()))
        .map_err(|_| damaged(path))
}

/// All numbers in the order of the file, and its header.
fn numbers(bytes: &[u8], path: &Path) -> Result<(Vec<f64>, Header)> {
    let header = Header::of(bytes, path)?;
    let body = bytes.get(header.start..).unwrap_or_default();
    let size = shape_product("the array", &header.shape)?;
    if size.checked_mul(header.number.width) != Some(body.len()) {
        return Err(damaged(path));
    }
    let numbers = body.chunks_exact(header.number.width).map(|b| header.number.read(b)).collect();
    Ok((numbers, header))
}

/// An array as columns of a table.
pub(super) struct Columns {
    /// Row by row; NaN and infinities among them.
    pub numbers: Vec<f64>,
    pub rows: usize,
    pub columns: usize,
    /// Whether it has one dimension, which is one column.
    pub is_flat: bool,
}

/// The array in the bytes of a `.npy` file as columns of a table.
///
/// # Errors
/// Bytes that are no such file, other values than numbers, or another number of dimensions than one and two.
pub(super) fn table(bytes: &[u8], path: &Path) -> Result<Columns> {
    let (numbers, Header { fortran, shape, .. }) = numbers(bytes, path)?;
    let (rows, columns) = match *shape {
        [rows] => (rows, 1),
        [rows, columns] => (rows, columns),
        _ => return Err(format_error(path, "a table needs arrays of one or two dimensions")),
    };
    let array = Array2::from_shape_vec((rows, columns).set_f(fortran && rows > 1), numbers);
    let array = array.map_err(|_| damaged(path))?.as_standard_layout().into_owned();
    let numbers = array.into_raw_vec_and_offset().0;
    Ok(Columns { numbers, rows, columns, is_flat: shape.len() == 1 })
}

/// How a number is stored, in little-endian order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number {
    /// f for floats, i for whole numbers, u for those that are not negative, b for truth values.
    class: u8,
    /// Its bytes.
    pub width: usize,
}

impl Number {
    /// The type that `descr` names; none of others.
    fn of(descr: &str) -> Option<Self> {
        let name = descr.strip_prefix('\'')?.split_once('\'')?.0;
        let known = ["<f8", "<f4", "<i8", "<i4", "<i2", "|i1", "<u8", "<u4", "<u2", "|u1", "|b1"];
        let &[_, class, width] = (*known.iter().find(|known| **known == name)?).as_bytes() else {
            return None;
        };
        Some(Number { class, width: usize::from(width - b'0') })
    }

    /// The numbers in the first bytes, as many as there is room for; the nearest f64.
    pub fn read_all(self, bytes: &[u8], out: &mut [f64]) {
        let cells = bytes.chunks_exact(self.width);
        if self.class == b'f' && self.width == 8 {
            // Nearly all arrays are such.
            let (cells, _) = bytes.as_chunks();
            out.iter_mut().zip(cells).for_each(|(out, bytes)| *out = f64::from_le_bytes(*bytes));
        } else {
            out.iter_mut().zip(cells).for_each(|(out, bytes)| *out = self.read(bytes));
        }
    }

    /// The number in so many bytes; the nearest f64.
    pub fn read(self, bytes: &[u8]) -> f64 {
        if let (b'f', Some(bytes)) = (self.class, bytes.first_chunk()) {
            return f64::from_le_bytes(*bytes);
        }
        if let (b'f', Some(bytes)) = (self.class, bytes.first_chunk()) {
            return f64::from(f32::from_le_bytes(*bytes));
        }
        let is_negative = self.class == b'i' && bytes.last().is_some_and(|b| b & 0x80 > 0);
        let mut all = [if is_negative { 0xFF } else { 0 }; 8];
        all.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        match self.class {
            b'i' => i64::from_le_bytes(all) as f64,
            _ => u64::from_le_bytes(all) as f64,
        }
    }
}

/// The bytes with which a file begins that hold its header, at the most: NumPy's own are far shorter.
pub(super) const HEAD: usize = 1 << 16;

/// The head of a `.npy` file.
pub(super) struct Header {
    /// Where the numbers begin.
    pub start: usize,
    /// How they are stored.
    pub number: Number,
    /// Whether they go down the columns.
    pub fortran: bool,
    /// The shape.
    pub shape: Vec<usize>,
}

impl Header {
    /// The header in the first bytes of a file.
    ///
    /// # Errors
    /// Bytes that are no such file, or numbers of another type.
    pub fn of(bytes: &[u8], path: &Path) -> Result<Self> {
        let damaged = || damaged(path);
        let rest = (bytes.strip_prefix(b"\x93NUMPY"))
            .ok_or_else(|| format_error(path, "this is no .npy file; write one with numpy.save"))?;
        // The length of the header has two bytes in version 1 and four after it.
        let digits = if rest.first() == Some(&1) { 2 } else { 4 };
        let length = rest.get(2..2 + digits).ok_or_else(damaged)?;
        let length = length.iter().rev().fold(0usize, |n, b| (n << 8) | usize::from(*b));
        let rest = &rest[2 + digits..];
        let head =
            rest.get(..length).and_then(|h| std::str::from_utf8(h).ok()).ok_or_else(damaged)?;
        let value = |key: &str| {
            let (_, after) = head.split_once(&format!("'{key}'"))?;
            Some(after.trim_start().strip_prefix(':')?.trim_start())
        };
        let fortran = value("fortran_order").ok_or_else(damaged)?.starts_with("True");
        let shape = value("shape").and_then(|v| v.strip_prefix('(')?.split_once(')'));
        let shape = shape.ok_or_else(damaged)?.0.split(',').map(str::trim);
        let shape: Vec<usize> = (shape.filter(|n| !n.is_empty()))
            .map(|n| n.parse().map_err(|_| damaged()))
            .collect::<Result<_>>()?;
        let number = Number::of(value("descr").ok_or_else(damaged)?).ok_or_else(|| {
            let why = "its values must be floats, whole numbers or truth values of NumPy, in little-endian order";
            format_error(path, why)
        })?;
        Ok(Header { start: bytes.len() - rest.len() + length, number, fortran, shape })
    }

    /// Rows and columns of a shape of one or two dimensions; one is one row.
    ///
    /// # Errors
    /// Another number of dimensions.
    pub fn rectangle(shape: &[usize], path: &Path) -> Result<[usize; 2]> {
        match *shape {
            [columns] => Ok([1, columns]),
            [rows, columns] => Ok([rows, columns]),
            _ => Err(format_error(path, "an array of one or two dimensions is needed")),
        }
    }
}

fn damaged(path: &Path) -> Error {
    format_error(path, "the file is damaged or incomplete; write it with numpy.save")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// A file as `numpy.save` writes it.
    fn saved(kind: &str, fortran: &str, shape: &str, body: &[u8]) -> Vec<u8> {
        let head =
            format!("{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': ({shape}), }}\n");
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend((head.len() as u16).to_le_bytes());
        out.extend(head.bytes());
        out.extend(body);
        out
    }

    #[test]
    fn arrays_are_read_in_both_orders_and_types() {
        let numbers: Vec<u8> = (1..=6).flat_map(|i| f64::from(i).to_le_bytes()).collect();
        let singles: Vec<u8> = [0.5f32, -1.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let path = Path::new("v.npy");
        let read = |bytes: &[u8]| parse(bytes, path);
        let rows = read(&saved("<f8", "False", "2, 3", &numbers)).unwrap();
        assert_eq!(rows, array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        let columns = read(&saved("<f8", "True", "2, 3", &numbers)).unwrap();
        assert_eq!(columns, array![[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]);
        assert_eq!(read(&saved("<f4", "False", "2,", &singles)).unwrap(), array![[0.5, -1.0]]);
        let good = saved("<f8", "False", "6,", &numbers);
        for end in [0, 5, 9, 30, good.len() - 1] {
            assert!(read(&good[..end]).is_err(), "{end}");
        }
        for bad in [saved(">f8", "False", "6,", &numbers), saved("<f8", "False", "1,2,3", &numbers)]
        {
            assert!(read(&bad).is_err());
        }
        assert!(read(&saved("<f8", "False", "1,", &f64::NAN.to_le_bytes())).is_err());
    }
}

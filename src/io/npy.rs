//! NumPy's `.npy` files.

use std::path::Path;

use ndarray::{Array2, ShapeBuilder};

use super::files;
use super::json::format_error;
use crate::error::{Error, Result};

/// The numbers of a `.npy` file with one or two dimensions, of the types `<f8` and `<f4`; one dimension is one row.
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
    let wrong = |why: &str| format_error(path, why);
    let damaged = || wrong("the file is damaged or incomplete; write it with numpy.save");
    let rest = (bytes.strip_prefix(b"\x93NUMPY"))
        .ok_or_else(|| wrong("this is no .npy file; write one with numpy.save"))?;
    // The length of the header has two bytes in version 1 and four after it.
    let digits = if rest.first() == Some(&1) { 2 } else { 4 };
    let length = rest.get(2..2 + digits).ok_or_else(damaged)?;
    let length = length.iter().rev().fold(0usize, |n, b| (n << 8) | usize::from(*b));
    let rest = &rest[2 + digits..];
    let head = rest.get(..length).and_then(|h| std::str::from_utf8(h).ok()).ok_or_else(damaged)?;
    let body = &rest[length..];
    let value = |key: &str| {
        let (_, after) = head.split_once(&format!("'{key}'"))?;
        Some(after.trim_start().strip_prefix(':')?.trim_start())
    };
    let fortran = value("fortran_order").ok_or_else(damaged)?.starts_with("True");
    let shape =
        value("shape").and_then(|v| v.strip_prefix('(')?.split_once(')')).ok_or_else(damaged)?;
    let shape: Vec<usize> = (shape.0.split(',').map(str::trim).filter(|n| !n.is_empty()))
        .map(|n| n.parse().map_err(|_| damaged()))
        .collect::<Result<_>>()?;
    let (rows, columns) = match shape.as_slice() {
        [columns] => (1, *columns),
        [rows, columns] => (*rows, *columns),
        _ => return Err(wrong("an array of one or two dimensions is needed")),
    };
    let size = crate::evaluate::shape_product("the array", &[rows, columns])?;
    let kind = value("descr").ok_or_else(damaged)?;
    let numbers: Vec<f64> = if kind.starts_with("'<f8'") {
        body.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
    } else if kind.starts_with("'<f4'") {
        body.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
    } else {
        return Err(wrong("its numbers must be float64 or float32, in little-endian order"));
    };
    if numbers.len() != size {
        return Err(damaged());
    }
    if let Some(at) = numbers.iter().position(|v| !v.is_finite()) {
        return Err(Error::non_finite(path.display().to_string(), &[at]));
    }
    Array2::from_shape_vec((rows, columns).set_f(fortran && rows > 1), numbers)
        .map(|array| (shape, array.as_standard_layout().into_owned()))
        .map_err(|_| damaged())
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

//! The result as `.npz`: named arrays in a zip archive without compression, as `numpy.load` reads them.

use std::io::{self, Write};

use secondo::{Problem, Structure};

use super::{Form, Found, Named, Options, key};
use crate::arrays::{Arrays, head};

/// Writes the result as arrays.
pub fn write(
    out: &mut dyn Write,
    problem: &Problem,
    options: &Options,
    found: &Found,
) -> io::Result<()> {
    let Found { result, products, tensor, named, seconds } = found;
    let mut arrays = Arrays::new(out);
    arrays.numbers("value", &[], [result.value])?;
    let gradient = result.gradient.iter().copied();
    arrays.numbers("gradient", &[result.gradient.len()], gradient)?;
    for (layer, e) in (1..).zip(&result.multipliers) {
        arrays.numbers(&format!("multipliers_{layer}"), e.shape(), e.iter().copied())?;
    }
    if options.written() != Form::Nothing || !named.is_empty() {
        arrays.text("curvature", options.curvature.name())?;
    }
    if let Some(matrix) = &result.curvature {
        let key = key(matrix.structure());
        if matrix.structure() == Structure::Diagonal {
            arrays.numbers(key, &[matrix.order()], matrix.diagonal())?;
        } else {
            for block in matrix.blocks() {
                let mut name = key.to_string();
                for part in block.layer.into_iter().chain(block.unit) {
                    name += &format!("_{part}");
                }
                let d = block.order();
                let all = (0..d * d).map(|i| block.entry(i / d, i % d).unwrap_or(f64::NAN));
                arrays.numbers(&name, &[d, d], all)?;
            }
        }
    }
    if let Some(products) = products {
        arrays.numbers("products", products.shape(), products.iter().copied())?;
    }
    if let Some(tensor) = tensor {
        let packed = tensor.packed();
        arrays.numbers("tensor", &[packed.len()], packed.iter().copied())?;
    }
    for Named { name, shape, values } in named {
        arrays.numbers(name, shape, values.iter().copied())?;
    }
    arrays.text("adapter", &problem.device().adapter())?;
    arrays.text("precision", problem.device().precision().name())?;
    arrays.numbers("seconds", &[], [*seconds])?;
    arrays.finish()
}

/// Writes one array alone, as `numpy.save` does: the products, the full matrix or the diagonal, what was computed from them,
/// or without all that the gradient.
pub fn write_one(out: &mut dyn Write, _: &Problem, _: &Options, found: &Found) -> io::Result<()> {
    let mut array = |shape: &[usize], values: &mut dyn Iterator<Item = f64>| {
        out.write_all(&head("<f8", shape))?;
        for v in values {
            out.write_all(&v.to_le_bytes())?;
        }
        Ok::<(), io::Error>(())
    };
    if let [Named { shape, values, .. }] = found.named.as_slice() {
        return array(shape, &mut values.iter().copied());
    }
    match (&found.products, &found.result.curvature) {
        (Some(products), _) => array(products.shape(), &mut products.iter().copied()),
        (None, Some(matrix)) if matrix.structure() == Structure::Diagonal => {
            array(&[matrix.order()], &mut matrix.diagonal().into_iter())
        }
        (None, Some(matrix)) => {
            let d = matrix.order();
            let entries = matrix.blocks().flat_map(|block| {
                (0..d * d).map(move |i| block.entry(i / d, i % d).unwrap_or(f64::NAN))
            });
            array(&[d, d], &mut { entries })
        }
        (None, None) => {
            let gradient = &found.result.gradient;
            array(&[gradient.len()], &mut gradient.iter().copied())
        }
    }
}

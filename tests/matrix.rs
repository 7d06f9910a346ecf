//! Matrices in all structures: entries, products and forms against plain loops; solutions, inverses, determinants and
//! eigenvalues by the ratios of LAPACK's test programs (thresholds 30, and 60 for eigenvalues).

mod common;

use common::nets::Random;
use common::ratio::DOUBLE as U;
use ndarray::{Array2, array};
use secondo::{
    Activation, Curvature, Data, Error, Layer, LinearOperator, Loss, Matrix, Network, Penalty,
    Problem, Structure, solve,
};

/// Two layers with skips and a unit without sources but its bias: blocks of several orders.
fn problem(unit: f64, ridge: bool) -> (Problem, Vec<f64>) {
    let network = Network::new(
        3,
        vec![
            Layer::dense(4, Activation::Tanh),
            Layer::dense(2, Activation::Logistic).sources(vec![0, 1]),
            Layer::dense(1, Activation::Identity),
        ],
    )
    .unwrap();
    let mut random = Random::new(5);
    let data = Data::new(random.matrix(40, 3, 1.5), random.matrix(40, 1, 2.0)).unwrap();
    let data = data.weighted(vec![unit; 40]).unwrap();
    let w = random.vector(network.parameters(), 1.0);
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    let penalty = match ridge {
        true => Penalty::ridge(0.1 * unit),
        false => Penalty::None,
    };
    (problem.penalty(penalty).unwrap(), w)
}

/// Every structure; definite (Gauss–Newton with ridge) and indefinite (the Hessian); near 1, and near the ends of f64.
fn matrices() -> Vec<(String, Matrix)> {
    let mut all = Vec::new();
    for unit in [1.0, 1e150, 1e-150] {
        for curvature in [Curvature::GaussNewton, Curvature::Exact] {
            let (problem, w) = problem(unit, curvature == Curvature::GaussNewton);
            for structure in Structure::ALL {
                let at = problem.curvature(&w, curvature, structure).unwrap();
                let name = format!("{} {} {unit:e}", structure.name(), curvature.name());
                all.push((name, at.curvature.unwrap()));
            }
        }
    }
    all
}

/// The matrix from its blocks' numbers, by loops.
fn plain(matrix: &Matrix) -> Array2<f64> {
    let p = matrix.order();
    let mut out = Array2::zeros((p, p));
    for block in matrix.blocks() {
        let mut numbers = block.packed().iter();
        for a in block.range.clone() {
            for b in block.range.start..=a {
                let v = *numbers.next().unwrap();
                (out[(a, b)], out[(b, a)]) = (v, v);
            }
        }
        assert!(numbers.next().is_none());
    }
    out
}

fn packed(dense: &Array2<f64>) -> Vec<f64> {
    let rows = dense.rows().into_iter().enumerate();
    rows.flat_map(|(a, row)| row.to_vec().into_iter().take(a + 1)).collect()
}

/// ‖A‖₁.
fn norm(a: &Array2<f64>) -> f64 {
    let sums = a.columns().into_iter().map(|c| c.iter().map(|v| v.abs()).sum());
    sums.fold(0.0, f64::max)
}

fn one_norm(x: &[f64]) -> f64 {
    x.iter().map(|v| v.abs()).sum()
}

/// Component by component |found − Σ|/(p u Σ|terms|), the most of them.
fn product_ratio(a: &Array2<f64>, v: &[f64], found: &[f64]) -> f64 {
    let p = v.len() as f64;
    let rows = a.rows().into_iter().zip(found);
    let ratios = rows.map(|(row, found)| {
        let terms = || row.iter().zip(v).map(|(a, v)| a * v);
        let size: f64 = terms().map(f64::abs).sum();
        match size {
            0.0 if *found == 0.0 => 0.0,
            _ => (found - terms().sum::<f64>()).abs() / size / (p * U),
        }
    });
    ratios.fold(0.0, f64::max)
}

/// `dpot02`: ‖b − Bx‖ / (‖B‖ ‖x‖ u).
fn solve_ratio(a: &Array2<f64>, x: &[f64], b: &[f64]) -> f64 {
    let rows = a.rows().into_iter().zip(b);
    let residual: Vec<f64> =
        rows.map(|(row, b)| b - row.iter().zip(x).map(|(a, x)| a * x).sum::<f64>()).collect();
    one_norm(&residual) / norm(a) / one_norm(x) / U
}

/// `dpot03`: ‖I − B B⁻¹‖ / (p ‖B‖ ‖B⁻¹‖ u).
fn inverse_ratio(a: &Array2<f64>, inverse: &Array2<f64>) -> f64 {
    // Brought near 1 first: the product of the norms is the condition.
    let (size, inverse_size) = (norm(a), norm(inverse));
    let product = (a / size).dot(&(inverse / inverse_size));
    let identity = Array2::eye(a.nrows()) / size / inverse_size;
    norm(&(identity - product)) / (a.nrows() as f64 * U)
}

/// ln |det B| and the sign, by elimination with row exchanges.
fn log_determinant(a: &Array2<f64>) -> (f64, f64) {
    let (p, mut a) = (a.nrows(), a.clone());
    let (mut log, mut sign) = (0.0, 1.0);
    for k in 0..p {
        let pivot = (k..p).max_by(|&i, &j| a[(i, k)].abs().total_cmp(&a[(j, k)].abs())).unwrap();
        if pivot != k {
            sign = -sign;
            for j in 0..p {
                a.swap((k, j), (pivot, j));
            }
        }
        let value = a[(k, k)];
        log += value.abs().ln();
        sign *= value.signum();
        for i in k + 1..p {
            let factor = a[(i, k)] / value;
            for j in k..p {
                a[(i, j)] -= factor * a[(k, j)];
            }
        }
    }
    (log, sign)
}

/// The largest distance of two spectra in units of p ‖B‖ u.
fn spectrum_ratio(a: &Array2<f64>, found: &[f64], other: &[f64]) -> f64 {
    assert_eq!(found.len(), other.len());
    assert!(found.is_sorted());
    let distance = found.iter().zip(other).map(|(x, y)| (x - y).abs());
    distance.fold(0.0, f64::max) / norm(a) / (a.nrows() as f64 * U)
}

#[test]
fn blocks_and_entries_are_the_same_numbers() {
    for (name, matrix) in matrices() {
        let p = matrix.order();
        let dense = plain(&matrix);
        assert_eq!(matrix.shape(), (p, p));
        assert_eq!(matrix.dense().unwrap(), dense, "{name}");
        for ((a, b), v) in dense.indexed_iter() {
            assert_eq!(matrix.entry(a, b).unwrap(), *v, "{name} {a} {b}");
        }
        assert_eq!(matrix.diagonal(), dense.diag().to_vec(), "{name}");
        let trace: f64 = dense.diag().sum();
        let size: f64 = dense.diag().iter().map(|v| v.abs()).sum();
        assert!((matrix.trace() - trace).abs() <= p as f64 * U * size);
        for block in matrix.blocks() {
            let range = block.range.clone();
            let cut = dense.slice(ndarray::s![range.clone(), range.clone()]);
            assert_eq!(block.order(), range.len());
            assert_eq!(block.dense(), cut, "{name}");
            assert_eq!(block.diagonal(), cut.diag().to_vec(), "{name}");
            for ((a, b), v) in cut.indexed_iter() {
                assert_eq!(block.entry(a, b).unwrap(), *v);
            }
            let outside = block.entry(range.len(), 0);
            assert!(matches!(outside, Err(Error::Invalid { .. })));
        }
        for (a, b) in [(p, 0), (0, p), (usize::MAX, usize::MAX)] {
            assert!(matches!(matrix.entry(a, b), Err(Error::Invalid { .. })));
        }
    }
}

#[test]
fn a_block_is_found_by_layer_and_unit() {
    let (problem, w) = problem(1.0, true);
    let of = |structure| {
        let at = problem.curvature(&w, Curvature::Exact, structure).unwrap();
        at.curvature.unwrap()
    };
    let (rows, layers) = (of(Structure::RowBlocks), of(Structure::LayerBlocks));
    for (k, row, range) in problem.network().rows() {
        assert_eq!(rows.block(k, Some(row)).unwrap().range, range);
        let layer = layers.block(k, None).unwrap();
        assert!(layer.range.start <= range.start && range.end <= layer.range.end);
        assert!(rows.block(k, None).is_none() && layers.block(k, Some(row)).is_none());
        for other in [of(Structure::Full), of(Structure::Diagonal)] {
            assert!(other.block(k, None).is_none() && other.block(k, Some(row)).is_none());
        }
    }
    assert!(rows.block(1, Some(4)).is_none() && layers.block(4, None).is_none());
    assert!(layers.block(0, None).is_none());
}

#[test]
fn products_and_forms_are_those_of_plain_loops() {
    let mut random = Random::new(3);
    for (name, matrix) in matrices() {
        let (p, dense) = (matrix.order(), plain(&matrix));
        let vectors = random.matrix(3, p, 1.0);
        let operator: &dyn LinearOperator = &matrix;
        assert_eq!(operator.order(), p);
        let products = operator.products(vectors.view()).unwrap();
        for (v, product) in vectors.rows().into_iter().zip(products.rows()) {
            let (v, product) = (v.to_vec(), product.to_vec());
            assert_eq!(matrix.product(&v).unwrap(), product);
            assert_eq!(operator.product(&v).unwrap(), product);
            let ratio = product_ratio(&dense, &v, &product);
            assert!(ratio < 1.0, "{name}: {ratio}");

            let form = matrix.quadratic_form(&v).unwrap();
            let terms = || dense.indexed_iter().map(|((a, b), x)| x * v[a] * v[b]);
            let size: f64 = terms().map(f64::abs).sum();
            let off = (form - terms().sum::<f64>()).abs() / size / (p as f64 * U);
            assert!(off < 1.0, "{name}: {off}");

            // Told apart: one entry that is off by 10⁻¹³ of the largest.
            let mut wrong = product;
            let scale = wrong.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            wrong[p / 2] += 1e-13 * scale;
            assert!(product_ratio(&dense, &v, &wrong) > 1.0, "{name}");
        }
        let transposed = vectors.t().to_owned();
        let same = operator.products(transposed.t()).unwrap();
        assert_eq!(same, products, "{name}: another layout in memory");
        let none = operator.products(Array2::zeros((0, p)).view()).unwrap();
        assert_eq!(none.dim(), (0, p));
    }
}

#[test]
fn solutions_and_inverses_are_backward_stable() {
    let mut random = Random::new(4);
    for (name, matrix) in matrices() {
        let (p, dense) = (matrix.order(), plain(&matrix));
        let b = random.vector(p, 1.0);
        let mut x = matrix.solve(&b).unwrap();
        let ratio = solve_ratio(&dense, &x, &b);
        assert!(ratio < 30.0, "{name}: {ratio}");
        let inverse = matrix.inverse().unwrap();
        assert_eq!(inverse.structure(), matrix.structure());
        for (a, b) in matrix.blocks().zip(inverse.blocks()) {
            assert_eq!((a.layer, a.unit, a.range), (b.layer, b.unit, b.range));
        }
        let mut inverse = plain(&inverse);
        let ratio = inverse_ratio(&dense, &inverse);
        assert!(ratio < 30.0, "{name}: {ratio}");

        // Told apart: an error of 10⁻⁹ of the largest, met by the largest column.
        let size = |j: usize| one_norm(&dense.column(j).to_vec());
        let largest = (0..p).max_by(|&i, &j| size(i).total_cmp(&size(j))).unwrap();
        x[largest] += 1e-9 * one_norm(&x);
        inverse[(largest, largest)] += 1e-9 * norm(&inverse);
        assert!(solve_ratio(&dense, &x, &b) > 30.0, "{name}");
        assert!(inverse_ratio(&dense, &inverse) > 30.0, "{name}");
    }
}

#[test]
fn determinants_and_eigenvalues_are_those_of_the_whole_matrix() {
    for (name, matrix) in matrices() {
        let (p, dense) = (matrix.order(), plain(&matrix));
        let values = matrix.eigenvalues().unwrap();
        let mut whole = solve::eigenvalues(&packed(&dense), p).unwrap();
        let ratio = spectrum_ratio(&dense, &values, &whole);
        assert!(ratio < 60.0, "{name}: {ratio}");
        whole[p / 2] += 1e-10 * norm(&dense);
        assert!(spectrum_ratio(&dense, &values, &whole) > 60.0, "{name}");

        let sizes = || values.iter().map(|v| v.abs());
        let condition = sizes().fold(0.0, f64::max) / sizes().fold(f64::MAX, f64::min);
        assert_eq!(matrix.condition().unwrap(), condition, "{name}");

        let (log, sign) = log_determinant(&dense);
        match matrix.log_determinant() {
            Ok(found) => {
                assert!(values[0] > 0.0 && sign > 0.0, "{name}");
                let unit = p as f64 * U * condition.max(log.abs());
                assert!((found - log).abs() < 30.0 * unit, "{name}: {found} {log}");
                assert!((found - log - 1e-3).abs() > 30.0 * unit, "{name}");
            }
            Err(Error::NotPositiveDefinite { .. }) => assert!(values[0] < 0.0, "{name}"),
            Err(other) => panic!("{name}: {other}"),
        }
        let definite = name.contains("gauss-newton");
        assert_eq!(matrix.log_determinant().is_ok(), definite, "{name}");
    }
}

#[test]
fn orders_0_and_1() {
    for empty in [Matrix::full(0, vec![]).unwrap(), Matrix::from_diagonal(vec![]).unwrap()] {
        assert_eq!(empty.shape(), (0, 0));
        assert_eq!(empty.dense().unwrap().dim(), (0, 0));
        assert!(empty.product(&[]).unwrap().is_empty());
        assert!(empty.solve(&[]).unwrap().is_empty());
        assert_eq!(empty.quadratic_form(&[]).unwrap(), 0.0);
        assert_eq!((empty.trace(), empty.diagonal()), (0.0, vec![]));
        assert_eq!(empty.log_determinant().unwrap(), 0.0);
        assert!(empty.eigenvalues().unwrap().is_empty());
        assert_eq!(empty.condition().unwrap(), 1.0);
        assert_eq!(empty.inverse().unwrap(), empty);
        assert!(matches!(empty.entry(0, 0), Err(Error::Invalid { .. })));
    }
    for value in [4.0, -4.0, 2f64.powi(1000), -(2f64.powi(-1000))] {
        for one in
            [Matrix::full(1, vec![value]).unwrap(), Matrix::from_diagonal(vec![value]).unwrap()]
        {
            assert_eq!(one.product(&[0.5]).unwrap(), [0.5 * value]);
            assert_eq!(one.solve(&[2.0]).unwrap(), [2.0 / value]);
            assert_eq!(one.inverse().unwrap().trace(), 1.0 / value);
            assert_eq!(one.eigenvalues().unwrap(), [value]);
            assert_eq!(one.condition().unwrap(), 1.0);
            match value > 0.0 {
                true => assert!((one.log_determinant().unwrap() - value.ln()).abs() < 1e-13),
                false => assert!(matches!(
                    one.log_determinant(),
                    Err(Error::NotPositiveDefinite { pivot: 0, .. })
                )),
            }
        }
    }
}

/// Products of fewer vectors than rows, whose rank rounding may hide from a factorization.
#[test]
fn a_singular_matrix_is_an_error_with_facts() {
    let mut random = Random::new(9);
    for d in [1, 2, 3, 5, 10, 33, 65] {
        for _ in 0..20 {
            let factors = random.matrix(d, d / 2, 1.0);
            let gram = factors.dot(&factors.t());
            for sign in [1.0, -1.0] {
                let matrix = Matrix::full(d, packed(&(&gram * sign))).unwrap();
                for found in [matrix.solve(&vec![1.0; d]).map(drop), matrix.inverse().map(drop)] {
                    let Err(Error::Numerical { what }) = found else {
                        panic!("order {d}: {found:?}");
                    };
                    assert!(what.contains("singular to rounding"), "{what}");
                    assert!(what.contains("penalty"), "{what}");
                }
                assert!(matrix.condition().unwrap() > 1e13);
            }
        }
    }
    // The first of several blocks, whatever the threads do.
    let zeros = Matrix::from_diagonal([vec![1.0; 700], vec![0.0; 300]].concat()).unwrap();
    for _ in 0..5 {
        let said = zeros.solve(&vec![1.0; 1000]).unwrap_err().to_string();
        assert!(said.starts_with("diagonal entry 700 is singular"), "{said}");
    }
    assert!(matches!(
        zeros.log_determinant(),
        Err(Error::NotPositiveDefinite { what, pivot: 0 }) if what == "diagonal entry 700"
    ));
    assert_eq!(zeros.condition().unwrap(), f64::INFINITY);
    // The units of an exact Hessian without data: the message names one.
    let network = Network::dense(&[1, 2, 1], Activation::Tanh).unwrap();
    let data = Data::new(array![[0.0]], array![[0.0]]).unwrap();
    let problem = Problem::new(network, data, Loss::SquaredError).unwrap();
    let at = problem.curvature(&[0.0; 7], Curvature::Exact, Structure::RowBlocks);
    let rows = at.unwrap().curvature.unwrap();
    let said = rows.inverse().unwrap_err().to_string();
    assert!(said.contains("the block of unit 0 of layer 1"), "{said}");
}

/// D A D with a well-conditioned A: ill-conditioned by its units only, and solved to full precision.
#[test]
fn badly_scaled_is_not_singular() {
    let mut random = Random::new(11);
    let d = 12;
    let factors = random.matrix(d, 3 * d, 1.0);
    let well = factors.dot(&factors.t());
    let units: Vec<f64> = (0..d).map(|a| 10f64.powi(20 * (a % 7) as i32 - 60)).collect();
    let badly = Array2::from_shape_fn((d, d), |(a, b)| well[(a, b)] * units[a] * units[b]);
    let right: Vec<f64> = random.vector(d, 1.0);
    let expected = Matrix::full(d, packed(&well)).unwrap().solve(&right);
    let scaled: Vec<f64> = right.iter().zip(&units).map(|(b, u)| b * u).collect();
    let found = Matrix::full(d, packed(&badly)).unwrap().solve(&scaled);
    for ((x, y), unit) in found.unwrap().iter().zip(expected.unwrap()).zip(&units) {
        assert!((x * unit - y).abs() < 1e-12, "{x} {y}");
    }
}

#[test]
fn what_is_not_finite_is_refused() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let at = |found: secondo::Result<Matrix>, index: usize| match found {
            Err(Error::NonFinite { at, .. }) => assert_eq!(at, [index]),
            other => panic!("{other:?}"),
        };
        at(Matrix::full(2, vec![1.0, 0.0, bad]), 2);
        at(Matrix::from_diagonal(vec![1.0, bad, 2.0]), 1);
        for (_, matrix) in matrices().into_iter().take(4) {
            let mut v = vec![1.0; matrix.order()];
            v[2] = bad;
            for found in [
                matrix.product(&v).map(drop),
                matrix.solve(&v).map(drop),
                matrix.quadratic_form(&v).map(drop),
            ] {
                let Err(Error::NonFinite { at, .. }) = found else {
                    panic!("{found:?}");
                };
                assert_eq!(at, [2]);
            }
        }
    }
}

#[test]
fn results_beyond_the_range_are_no_numbers() {
    let beyond = |found: secondo::Result<()>, what: &str| match found {
        Err(error @ Error::NonFinite { .. }) => assert!(error.to_string().contains(what)),
        other => panic!("{other:?}"),
    };
    let huge = Matrix::full(2, vec![1.7e308, 1.6e308, 1.7e308]).unwrap();
    beyond(huge.product(&[1.0, 1.0]).map(drop), "the product");
    beyond(huge.quadratic_form(&[1.0, 1.0]).map(drop), "the quadratic form");
    beyond(huge.eigenvalues().map(drop), "the eigenvalues");
    beyond(huge.condition().map(drop), "the eigenvalues");
    assert!(huge.solve(&[1.0, 1.0]).is_ok() && huge.log_determinant().is_ok());
    for sign in [1.0, -1.0] {
        for tiny in [
            Matrix::full(2, vec![sign * 1e-310, 0.0, sign * 2e-310]).unwrap(),
            Matrix::from_diagonal(vec![sign * 1e-310, sign * 2e-310]).unwrap(),
        ] {
            beyond(tiny.solve(&[1.0, 1.0]).map(drop), "the solution");
            beyond(tiny.inverse().map(drop), "the inverse");
            let x = tiny.solve(&[1e-310, 1e-310]).unwrap();
            assert!((x[0] - sign).abs() < 1e-9 && (x[1] - sign / 2.0).abs() < 1e-9, "{x:?}");
        }
    }
}

#[test]
fn wrong_lengths_are_shapes() {
    let shape = |found: secondo::Result<()>, expected: usize, length: usize| match found {
        Err(Error::Shape { expected: e, found: f, .. }) => {
            assert_eq!((e, f), (vec![expected], vec![length]));
        }
        other => panic!("{other:?}"),
    };
    shape(Matrix::full(3, vec![0.0; 5]).map(drop), 6, 5);
    shape(Matrix::full(0, vec![0.0]).map(drop), 0, 1);
    for (_, matrix) in matrices().into_iter().take(4) {
        let p = matrix.order();
        for length in [0, p - 1, p + 1] {
            let v = vec![0.0; length];
            shape(matrix.product(&v).map(drop), p, length);
            shape(matrix.solve(&v).map(drop), p, length);
            shape(matrix.quadratic_form(&v).map(drop), p, length);
            let operator: &dyn LinearOperator = &matrix;
            for rows in [0, 2] {
                let vectors = Array2::zeros((rows, length));
                shape(operator.products(vectors.view()).map(drop), p, length);
            }
        }
    }
    // Orders whose triangle or square no address reaches.
    for order in [1 << 31, 1 << 33, (1 << 33) + 1, usize::MAX - 1, usize::MAX] {
        let found = Matrix::full(order, vec![0.0; 3]);
        let refused = matches!(found, Err(Error::TooLarge { .. } | Error::Shape { .. }));
        assert!(refused, "{order}");
    }
}

//! The shaders' texts, and every form of the sums at sizes past its edges.

mod branches;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::gram::{Shape, Sum as Kind_, forms};
use super::machine::Key;
use super::*;
use crate::evaluate::{Tensor, Work, rehearse};
use crate::network::{ExactUnit, Group, Layer, Network, Propagation, Radial, Unit};
use crate::{Curvature, LossFunction, Request, Structure};

fn adapter() -> Gpu {
    let name = std::env::var("SECONDO_TEST_ADAPTER").unwrap_or("llvmpipe".into());
    let options = Options::default();
    Gpu::open(Some(&name), options).unwrap_or_else(|e| {
        panic!(
            "{e}\ninstall Debian's mesa-vulkan-drivers and libvulkan1, or set SECONDO_TEST_ADAPTER"
        )
    })
}

/// An adapter that is only thought of.
fn imagined(software: bool, f64: bool) -> Gpu {
    let adapter = Adapter {
        name: "imagined".into(),
        interface: "none".into(),
        kind: "other",
        driver: String::new(),
        software,
        f64: true,
        eight_lanes: software,
        limits: Limits {
            buffer: 1 << 31,
            binding: 1 << 27,
            groups: 65_535,
            shared: 16_384,
            threads: 256,
            alignment: 256,
        },
    };
    let adapter = Arc::new(adapter);
    Gpu {
        machine: Machine::Rehearsal {
            adapter: adapter.clone(),
            counter: Rehearsed::default(),
        },
        adapter,
        options: Arc::default(),
        f64,
        hardware_kernels: !software,
        checked: Arc::default(),
        checked_activations: Arc::default(),
    }
}

/// p = w Σ_c z_c².
#[derive(Debug)]
struct Own;

const WGSL: &str = "
fn unit_value() -> real {
    var sum = real();
    for (var c = 0u; c < INPUTS; c += 1u) {
        sum += z(c) * z(c);
    }
    return w(PARAMETERS - 1u) * sum;
}
fn unit_d_w(a: u32) -> real { return unit_value() / w(a); }
fn unit_d_z(c: u32) -> real { return 2.0 * w(0u) * z(c); }
fn unit_d_ww(a: u32, b: u32) -> real { return 0.0; }
fn unit_d_zz(b: u32, c: u32) -> real { return select(real(0.0), 2.0 * w(0u), b == c); }
fn unit_d_wz(a: u32, c: u32) -> real { return 2.0 * z(c); }
";

impl Unit for Own {
    fn name(&self) -> &str {
        "own"
    }
    fn parameters(&self, _: usize) -> usize {
        1
    }
    fn value(&self, z: &[f64], w: &[f64]) -> f64 {
        w[0] * z.iter().map(|z| z * z).sum::<f64>()
    }
    fn d_w(&self, z: &[f64], _: &[f64], phi: &mut [f64]) {
        phi[0] = z.iter().map(|z| z * z).sum();
    }
    fn d_z(&self, z: &[f64], w: &[f64], a: &mut [f64]) {
        (a.iter_mut().zip(z)).for_each(|(a, z)| *a = 2.0 * w[0] * z);
    }
    fn d_ww(&self, _: &[f64], _: &[f64], psi: &mut [f64]) {
        psi[0] = 0.0;
    }
    fn exact(&self) -> Option<&dyn ExactUnit> {
        Some(self)
    }
    fn wgsl(&self) -> Option<&str> {
        Some(WGSL)
    }
}

impl ExactUnit for Own {
    fn d_zz(&self, z: &[f64], w: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        (0..z.len()).for_each(|c| out[c * z.len() + c] = 2.0 * w[0]);
    }
    fn d_wz(&self, z: &[f64], _: &[f64], out: &mut [f64]) {
        (out.iter_mut().zip(z)).for_each(|(out, z)| *out = 2.0 * z);
    }
}

/// ½ Σ_o (x_o − y_o)², with WGSL.
#[derive(Debug)]
struct Square;

impl LossFunction for Square {
    fn name(&self) -> &str {
        "square"
    }
    fn value(&self, x: &[f64], y: &[f64]) -> f64 {
        x.iter().zip(y).map(|(x, y)| 0.5 * (x - y) * (x - y)).sum()
    }
    fn gradient(&self, x: &[f64], y: &[f64], out: &mut [f64]) {
        (0..x.len()).for_each(|o| out[o] = x[o] - y[o]);
    }
    fn hessian(&self, x: &[f64], _: &[f64], out: &mut [f64]) {
        (0..x.len()).for_each(|o| out[o * (x.len() + 1)] = 1.0);
    }
    fn wgsl(&self) -> Option<&str> {
        Some(
            "
fn loss_value() -> real {
    var sum = real(0.0);
    for (var o = 0u; o < OUTPUTS; o++) {
        let d = predicted(o) - observed(o);
        sum += 0.5 * d * d;
    }
    return sum;
}
fn loss_gradient(o: u32) -> real {
    return predicted(o) - observed(o);
}
fn loss_hessian(o: u32, q: u32) -> real {
    if o == q {
        return 1.0;
    }
    return 0.0;
}
",
        )
    }
}

/// The pipelines of all activations, losses, curvatures and structures, over shapes that use every variant of a kernel.
fn keys() -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    for (software, f64) in [(true, false), (true, true), (false, false), (false, true)] {
        let gpu = imagined(software, f64);
        let mut problems: Vec<(Network, Loss, usize)> = Vec::new();
        // One formula that calls everything, and needs every file for it.
        let all = "abs(u)+cosh(u)+erf(u)+expm1(u)+log1p(u)+sinh(u)+tan(u)+u^2.5+u^3/(1+exp(-u)^2)+tanh(atan(u))
            + 1e-200*silu(relu(u)) - -gelu(u*softplus(u))*gauss(1e300*u)*gauss_half(u)^-2*sin(cos(sqrt(u)))";
        let formula = Activation::formula(all).unwrap();
        for activation in Activation::ALL.into_iter().chain([formula]) {
            let network = Network::dense(&[3, 5, 2], activation).unwrap();
            problems.push((network, Loss::SquaredError, 9));
        }
        let own = Loss::Custom(Arc::new(Square));
        for loss in Loss::examples(2).into_iter().chain([own]) {
            problems.push((
                Network::dense(&[3, 5, 2], Activation::Tanh).unwrap(),
                loss,
                9,
            ));
        }
        for units in [1, 4, 7, 8, 16, 40, 70, 300] {
            for inputs in [1, 3, 6, 7, 20, 40, 70, 120, 300] {
                let network = Network::dense(&[inputs, units, 2], Activation::Tanh).unwrap();
                problems.push((network, Loss::SquaredError, 5000));
            }
        }
        let deep = vec![
            Layer::dense(70, Activation::Tanh),
            Layer::dense(33, Activation::Tanh).sources(vec![0, 1]),
            Layer::dense(3, Activation::Identity).sources(vec![1, 2]),
        ];
        problems.push((Network::new(20, deep).unwrap(), Loss::SquaredError, 700));
        let own = Group::uniform(Propagation::Unit(Arc::new(Own)), 3, Activation::Tanh);
        let layers = vec![
            Layer::dense(2, Activation::Tanh),
            Layer::of(vec![own])
                .and(Group::linear(1, Activation::Tanh))
                .sources(vec![0, 1]),
            Layer::dense(1, Activation::Identity),
        ];
        problems.push((Network::new(2, layers).unwrap(), Loss::SquaredError, 70));
        let radial = Radial::ALL.map(|form| Group::radial(1, form, Activation::ExpNegHalf));
        let layers = vec![
            Layer::of(radial.to_vec()),
            Layer::dense(1, Activation::Identity),
        ];
        problems.push((Network::new(2, layers).unwrap(), Loss::SquaredError, 3));
        {
            // Of the numbers that a rehearsal has, nothing can be said.
            let (gpu, rehearsed) = gpu.rehearsal();
            let _ = gpu.compare(&Own, (Own.name(), WGSL), 2, 1);
            keys.extend(rehearsed.lock().keys.iter().cloned());
        }
        for (network, loss, n) in problems {
            let mut works = vec![Work::Evaluate(Request::default())];
            for curvature in Curvature::ALL {
                // What couples the units of large networks exceeds the adapter for that many samples at once.
                let structures = Structure::ALL.into_iter().filter(|s| {
                    let whole = [Structure::Full, Structure::LayerBlocks].contains(s);
                    !whole || network.parameters() <= 500
                });
                works.extend(structures.map(|s| Work::Evaluate(Request::curvature(curvature, s))));
                works.extend([1, 3].map(|count| Work::Products(curvature, count)));
            }
            if network.inputs() == 3 {
                let tensor = |order| Tensor {
                    layer: 1,
                    row: 0,
                    order,
                };
                works.extend((1..=4).map(|order| Work::Tensor(tensor(order))));
            }
            for work in works {
                let whole = |r: Request| {
                    let of_units = [Structure::RowBlocks, Structure::Diagonal];
                    r.curvature.is_some_and(|(_, s)| !of_units.contains(&s))
                };
                let n = match work {
                    Work::Evaluate(request) if whole(request) => n.min(600),
                    _ => n,
                };
                let rehearsed = rehearse(&gpu, &network, &loss, n, work).unwrap();
                keys.extend(rehearsed.lock().keys.iter().cloned());
            }
        }
        // Forms that these shapes do not choose, for rows of each unit's own among them.
        for sum in [Kind_::Gram, Kind_::Gradient, Kind_::Diagonal] {
            for sampled in [false, true] {
                let shape = shape(sum, 600, 9, 9, 20, sampled);
                let (gpu, rehearsed) = gpu.rehearsal();
                let run = Run::new(&gpu, shape);
                for form in forms(shape, gpu.adapter.eight_lanes) {
                    run.by(&gpu, form);
                }
                keys.extend(rehearsed.lock().keys.iter().cloned());
            }
        }
    }
    keys.insert(Key {
        stem: "check/stamp",
        defines: BTreeMap::new(),
        writes: vec![true],
        params: Vec::new(),
    });
    keys
}

/// The kernel's folder or file, which its twin is named after.
fn kernel(stem: &str) -> &str {
    stem.split('/').next().unwrap_or(stem)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_shader_has_a_twin_and_every_file_its_use() {
    let mut on_disk = BTreeSet::new();
    let mut open = vec![root().join("shaders")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "wgsl") {
                let name = path
                    .strip_prefix(root().join("shaders"))
                    .unwrap()
                    .with_extension("");
                on_disk.insert(name.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    let mut embedded: BTreeSet<_> = source::FILES.iter().map(|f| f.0.to_string()).collect();
    embedded.extend(Activation::ALL.map(|a| format!("lib/activation/{a}")));
    embedded.extend(Loss::NAMES.map(|name| format!("lib/loss/{name}")));
    assert_eq!(
        on_disk, embedded,
        "the list in source.rs and the registries"
    );
    let keys = keys();
    for name in &on_disk {
        match kernel(name) {
            "lib" => {
                let file = name.strip_prefix("lib/").unwrap_or(name);
                let used = keys
                    .iter()
                    .any(|key| source::uses(key).contains(&format!("lib/{file}")));
                assert!(used, "shaders/{name}.wgsl is not used");
            }
            "check" => {}
            stem => {
                let twin = root().join(format!("src/backend/cpu/{stem}.rs"));
                assert!(
                    twin.exists(),
                    "shaders/{name}.wgsl has no twin {}",
                    twin.display()
                );
                assert!(
                    keys.iter().any(|key| key.stem == name),
                    "shaders/{name}.wgsl is not used"
                );
            }
        }
    }
    // And every twin its shader.
    for entry in std::fs::read_dir(root().join("src/backend/cpu")).unwrap() {
        let path = entry.unwrap().path();
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let shader = match stem.as_str() {
            // No kernels.
            "mod" | "real" | "tile" => continue,
            // On an adapter, what they are made of: gradient; contract and transpose.
            "coupled" | "linked" => continue,
            // The gradient's shaders with SQUARED.
            "gram_diagonal" => "gradient",
            other => other,
        };
        assert!(
            on_disk.iter().any(|name| kernel(name) == shader),
            "{stem}.rs has no shader"
        );
    }
}

/// What naga says of a pipeline's shader; empty if it is right.
fn faults(key: &Key, text: &str) -> Vec<String> {
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    let mut found = Vec::new();
    let module = match naga::front::wgsl::parse_str(text) {
        Ok(module) => module,
        Err(error) => return vec![error.emit_to_string(text)],
    };
    let capabilities = Capabilities::FLOAT64
        | Capabilities::SHADER_INT64
        | Capabilities::SUBGROUP
        | Capabilities::SUBGROUP_BARRIER;
    let info = match Validator::new(ValidationFlags::all(), capabilities).validate(&module) {
        Ok(info) => info,
        Err(error) => return vec![error.emit_to_string(text)],
    };
    // The parameters, as the host writes them: words one after another.
    let head = ["first_group", "groups_x", "groups"];
    let names: Vec<_> = head.iter().chain(&key.params).copied().collect();
    let params = (module.types.iter()).find(|(_, t)| t.name.as_deref() == Some("Params"));
    match params.map(|(_, t)| &t.inner) {
        Some(naga::TypeInner::Struct { members, .. }) => {
            let have: Vec<_> = members
                .iter()
                .map(|m| m.name.clone().unwrap_or_default())
                .collect();
            if have != names {
                found.push(format!(
                    "the parameters are {have:?}, the host writes {names:?}"
                ));
            }
            for (i, member) in members.iter().enumerate() {
                let word =
                    module.types[member.ty].inner == naga::TypeInner::Scalar(naga::Scalar::U32);
                if member.offset != 4 * i as u32 || !word {
                    found.push(format!("parameter {i} is at {}", member.offset));
                }
            }
        }
        _ => found.push("there is no struct Params".into()),
    }
    // The arrays, as the host binds them.
    let float = if key.defines.contains_key("F64") {
        8
    } else {
        4
    };
    let mut bound = vec![None; key.writes.len()];
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = &variable.binding else {
            continue;
        };
        match variable.space {
            naga::AddressSpace::Uniform if binding.binding == 0 && binding.group == 0 => {}
            naga::AddressSpace::Storage { access } => {
                let write = access.contains(naga::StorageAccess::STORE);
                match module.types[variable.ty].inner {
                    naga::TypeInner::Array { stride, .. }
                        if stride != float && key.stem != "check/stamp" =>
                    {
                        found.push(format!("{:?} has a stride of {stride}", variable.name));
                    }
                    _ => {}
                }
                match bound.get_mut(binding.binding as usize - 1) {
                    Some(slot) => *slot = Some(write),
                    None => found.push(format!("{:?} is not bound", variable.name)),
                }
            }
            other => found.push(format!("{:?} in {other:?}", variable.name)),
        }
    }
    for (i, (bound, &write)) in bound.iter().zip(&key.writes).enumerate() {
        if *bound != Some(write) {
            found.push(format!(
                "array {} is {bound:?}, the host binds write = {write}",
                i + 1
            ));
        }
    }
    let [entry] = &module.entry_points[..] else {
        return vec!["there must be one entry point".into()];
    };
    if entry.workgroup_size.iter().product::<u32>() > 256 {
        found.push("more than 256 threads".into());
    }
    let shared: u32 = (module.global_variables.iter())
        .filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup)
        .map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx()))
        .sum();
    if shared > 16_384 {
        found.push(format!("{shared} bytes shared, portable are 16 384"));
    }
    // Neither Metal nor DX12 has f64, and lanes that read each other's numbers are for software alone.
    let portable = float == 4 && key.defines.get("BROADCAST").is_none_or(|v| v == "0");
    if portable && found.is_empty() {
        found.extend(translated(&module, &info, entry));
    }
    found
}

/// What the translations for Metal and DX12 complain of.
fn translated(
    module: &naga::Module,
    info: &naga::valid::ModuleInfo,
    entry: &naga::EntryPoint,
) -> Vec<String> {
    use naga::back::{hlsl, msl};
    let mut found = Vec::new();
    let options = msl::Options {
        lang_version: (2, 4),
        fake_missing_bindings: true,
        ..Default::default()
    };
    match msl::write_string(module, info, &options, &msl::PipelineOptions::default()) {
        Ok((text, _)) if text.contains(&entry.name) => {}
        Ok(_) => found.push("Metal: the entry point is missing".into()),
        Err(error) => found.push(format!("Metal: {error}")),
    }
    let mut text = String::new();
    let options = hlsl::Options {
        fake_missing_bindings: true,
        ..Default::default()
    };
    let pipeline = hlsl::PipelineOptions::default();
    match hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None) {
        Ok(_) if text.contains(&entry.name) => {}
        Ok(_) => found.push("HLSL: the entry point is missing".into()),
        Err(error) => found.push(format!("HLSL: {error}")),
    }
    found
}

#[test]
fn every_variant_is_valid_and_as_the_host_binds_it() {
    let keys = keys();
    println!("{} variants", keys.len());
    assert!(keys.len() > 200);
    let wrong: Vec<_> = (keys.iter())
        .map(|key| (key, faults(key, &source::text(key).unwrap())))
        .filter(|(_, faults)| !faults.is_empty())
        .collect();
    assert!(
        wrong.is_empty(),
        "{} wrong, the first: {:#?}",
        wrong.len(),
        wrong[0]
    );
}

#[test]
fn the_check_of_variants_can_fail() {
    let keys = keys();
    let key = keys.iter().find(|k| k.stem == "scale").unwrap();
    let text = source::text(key).unwrap();
    assert!(faults(key, &text).is_empty());
    for (from, to) in [
        ("var<storage, read> d", "var<storage, read_write> d"),
        ("@binding(2)", "@binding(3)"),
        ("    units: u32,", "    unit: u32,"),
        (
            "    vectors: u32,\n    units: u32,",
            "    units: u32,\n    vectors: u32,",
        ),
        ("alias real = f32", "alias real = f64"),
        ("a[item] *=", "a[item] = b *"),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(!faults(key, &text.replace(from, to)).is_empty(), "{from}");
    }
}

fn shape(sum: Kind_, n: u64, units: u64, layer: u64, width: u64, sampled: bool) -> Shape {
    Shape {
        sum,
        n,
        units,
        first: layer - units,
        layer,
        width,
        sampled,
    }
}

/// The arrays of one sum.
struct Run {
    shape: Shape,
    c: Vec<f64>,
    phi: Vec<f64>,
    on_device: (Array, Array),
}

impl Run {
    fn new(gpu: &Gpu, shape: Shape) -> Self {
        let rows = if shape.sampled { shape.units } else { 1 };
        // Numbers between −1 and 1 that f32 holds exactly.
        let numbers = |len: u64, salt: u64| -> Vec<f64> {
            (0..len)
                .map(|i| ((i * 2_654_435_761 + salt) >> 7) % 4096)
                .map(|v| v as f64 / 2048.0 - 1.0)
                .collect()
        };
        let c = numbers(shape.n * shape.layer, 12_345);
        let phi = numbers(shape.n * rows * shape.width, 54_321);
        let on_device = (gpu.upload(&c).unwrap(), gpu.upload(&phi).unwrap());
        Run {
            shape,
            c,
            phi,
            on_device,
        }
    }

    fn len(&self) -> usize {
        let one = match self.shape.sum {
            Kind_::Gram => self.shape.width * (self.shape.width + 1) / 2,
            _ => self.shape.width,
        };
        (self.shape.units * one) as usize
    }

    fn by(&self, gpu: &Gpu, form: gram::Form) -> Vec<f64> {
        let Shape {
            units,
            first,
            layer,
            ..
        } = self.shape;
        let phi = Operand {
            array: &self.on_device.1,
            kind: if self.shape.sampled {
                Kind::Sampled
            } else {
                Kind::Shared
            },
            units: first as usize..(first + units) as usize,
            layer: layer as usize,
            width: self.shape.width as usize,
        };
        let mut sum = gpu.sums(self.len()).unwrap();
        gpu.weighted_sum_by(form, self.shape, &self.on_device.0, &phi, &mut sum, 0)
            .unwrap();
        gpu.read(sum).unwrap()
    }

    /// The sums with those of the absolute values, by plain loops.
    fn right(&self) -> Vec<(f64, f64)> {
        let Shape {
            sum,
            n,
            units,
            first,
            layer,
            width,
            sampled,
        } = self.shape;
        let mut out = Vec::new();
        for j in 0..units {
            for a in 0..width {
                let columns = if sum == Kind_::Gram {
                    0..a + 1
                } else {
                    a..a + 1
                };
                for b in columns {
                    let mut pair = (0.0, 0.0);
                    for i in 0..n {
                        let row = if sampled { i * units + j } else { i } * width;
                        let (fa, fb) = (self.phi[(row + a) as usize], self.phi[(row + b) as usize]);
                        let other = if sum == Kind_::Gradient { 1.0 } else { fb };
                        let term = self.c[(i * layer + first + j) as usize] * fa * other;
                        pair = (pair.0 + term, pair.1 + term.abs());
                    }
                    out.push(pair);
                }
            }
        }
        out
    }
}

/// Every form at sizes past its tiles and blocks; units at the end of a wider layer.
#[test]
fn every_form_of_the_sums_at_its_edges() {
    let gpu = adapter();
    let mut cases = 0;
    for (n, units, width) in [
        (1, 1, 1),
        (7, 3, 2),
        (63, 7, 8),
        (64, 8, 9),
        (65, 9, 15),
        (511, 2, 17),
        (512, 15, 16),
        (513, 17, 31),
        (1025, 31, 7),
        (40, 33, 33),
        (130, 63, 5),
        (33, 65, 12),
        (20, 1, 63),
        (17, 2, 64),
        (16, 5, 65),
        (15, 1, 129),
    ] {
        for sum in [Kind_::Gram, Kind_::Gradient, Kind_::Diagonal] {
            for sampled in [false, true] {
                let run = Run::new(&gpu, shape(sum, n, units, units + 3, width, sampled));
                let right = run.right();
                for form in forms(run.shape, gpu.adapter.eight_lanes) {
                    let found = run.by(&gpu, form);
                    assert_eq!(found.len(), right.len());
                    for (at, (found, (right, scale))) in found.iter().zip(&right).enumerate() {
                        let error = (found - right).abs();
                        let allowed = 600.0 * f64::from(f32::EPSILON) / 2.0 * scale;
                        assert!(
                            error <= allowed && error.is_finite(),
                            "{form:?} {:?} [{at}]: {found}, not {right}",
                            run.shape
                        );
                    }
                    cases += 1;
                }
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 500);
}

/// `Auto` computes large requests on the adapter; where that fails, matrices and products come from the processor.
#[test]
fn automatic_falls_back_to_the_processor() {
    use crate::device::{Device, Hardware};
    use crate::{Data, LinearOperator, Problem};
    let number = |i: usize| ((i * 37 + 11) % 64) as f64 / 32.0 - 1.0;
    let network = Network::dense(&[30, 40, 2], Activation::Tanh).unwrap();
    let n = 60_000;
    let x = ndarray::Array2::from_shape_fn((n, 30), |(i, j)| number(30 * i + j));
    let y = ndarray::Array2::from_shape_fn((n, 2), |(i, j)| number(7 * i + j));
    let w: Vec<f64> = (0..network.parameters()).map(|l| number(l) / 4.0).collect();
    let problem = Problem::new(network, Data::new(x, y).unwrap(), Loss::SquaredError).unwrap();
    let v = ndarray::Array2::from_shape_fn((6, w.len()), |(r, l)| number(l + r));
    let products = |problem: &Problem| -> crate::Result<Vec<f64>> {
        let operator = problem.operator(&w, Curvature::Exact)?;
        Ok(operator.products(v.view())?.into_iter().collect())
    };
    let blocks = |problem: &Problem| -> crate::Result<Vec<f64>> {
        let at = problem.curvature(&w, Curvature::Exact, Structure::RowBlocks)?;
        let matrix = at.curvature.into_iter();
        Ok(matrix.flat_map(|m| m.diagonal()).collect())
    };
    type Ask<'a> = &'a dyn Fn(&Problem) -> crate::Result<Vec<f64>>;
    for ask in [&products as Ask, &blocks as Ask] {
        let right = ask(&problem).unwrap();
        let gpu = adapter();
        let auto = problem.clone().on(Device::Auto(Hardware::of(gpu.clone())));
        // In f32, so on the adapter.
        let found = ask(&auto).unwrap();
        assert!(found != right && gpu.peak() > 0);
        for fault in [Simulated::Lost, Simulated::Timeout, Simulated::Unfinished] {
            let gpu = adapter();
            let auto = problem.clone().on(Device::Auto(Hardware::of(gpu.clone())));
            gpu.simulate(fault, 5);
            assert!(ask(&auto).unwrap() == right, "{fault:?}");
        }
    }
}

/// What no 32-bit number can count is refused before anything runs.
#[test]
fn sizes_beyond_32_bits_are_refused() {
    let small = shape(Kind_::Gradient, 1 << 16, 300, 300 * 200, 20, false);
    let limits = gram::Limits {
        float: 4,
        binding: u64::from(u32::MAX),
        scratch: 1 << 40,
        target: 64,
    };
    let form = gram::Form::GradientLanes {
        columns: 2,
        broadcast: false,
    };
    assert!(gram::windows(small, form, limits).is_ok());
    // The coefficients of a pair of layers, n · s_k · s_l.
    let wide = Shape {
        layer: 300 * 300,
        ..small
    };
    assert!(gram::windows(wide, form, limits).is_err());
    // On an adapter without limits of its own.
    let gpu = imagined(false, false);
    let adapter = Adapter {
        limits: Limits {
            buffer: 1 << 40,
            binding: u64::from(u32::MAX) / 16 * 16,
            ..gpu.adapter.limits
        },
        ..(*gpu.adapter).clone()
    };
    let adapter = Arc::new(adapter);
    let gpu = Gpu {
        machine: Machine::Rehearsal {
            adapter: adapter.clone(),
            counter: Rehearsed::default(),
        },
        adapter,
        ..gpu
    };
    let (n, layer) = (1 << 16, 300);
    let refused = |result: Result<()>, what: &str| match result {
        Err(Error::Gpu { .. } | Error::TooLarge { .. }) => {}
        other => panic!("{what}: {other:?}"),
    };
    let array = |len: usize| gpu.array(&[len], "test").unwrap();
    let of = |array, width| Columns {
        array,
        stride: width,
        first: 0,
        width,
    };
    let (a, z) = (array(n * layer * layer), array(n * layer));
    refused(gpu.pairs(n, layer, 0..layer, &a).map(drop), "pairs");
    refused(
        gpu.outer(n, &of(&z, layer), &of(&z, layer)).map(drop),
        "outer",
    );
    let mut out = array(n * layer * layer);
    refused(
        gpu.multiply_add(n, layer, layer, &z, &a, &mut out),
        "multiply_add",
    );
    refused(gpu.scale(n, layer, layer, &z, &mut out), "scale");
    refused(gpu.transpose(n, layer, layer, &a).map(drop), "transpose");
    let mut sum = gpu.sums(layer * layer).unwrap();
    let phi = Operand {
        array: &z,
        kind: Kind::Shared,
        units: 0..layer,
        layer: layer * layer,
        width: layer,
    };
    refused(gpu.gradient(n, &a, &phi, &mut sum, 0), "gradient");
    // And the same where it fits.
    let (n, a) = (1 << 10, array((1 << 10) * layer * layer));
    gpu.pairs(n, layer, 0..layer, &a).unwrap();
    gpu.gradient(n, &a, &phi, &mut sum, 0).unwrap();
}

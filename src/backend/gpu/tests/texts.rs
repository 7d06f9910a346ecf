//! The shaders' texts: all variants are valid, here and for Metal and DX12, and are as the host binds them.

use std::collections::BTreeSet;
use std::path::Path;

use super::launch::Key;
use super::*;
use crate::LossFunction;
use crate::backend::kernel::*;
use crate::network::{Activation, Radial};

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

/// Dense arrays of a rehearsal.
fn dense(gpu: &Gpu, shape: [usize; 3]) -> (Array, Layout) {
    let [n, rows, columns] = shape;
    let layout = Layout::dense(n, rows, columns);
    (gpu.alloc(layout.len()).unwrap(), layout)
}

fn activations(gpu: &Gpu) {
    // One formula that calls everything, and needs every file for it.
    let all = "abs(u)+cosh(u)+erf(u)+expm1(u)+log1p(u)+sinh(u)+tan(u)+u^2.5+u^3/(1+exp(-u)^2)+tanh(atan(u))
        + 1e-200*silu(relu(u)) - -gelu(u*softplus(u))*gauss(1e300*u)*gauss_half(u)^-2*sin(cos(sqrt(u)))";
    let formula = Activation::formula(all).unwrap();
    let (p, layout) = dense(gpu, [9, 1, 5]);
    for activation in Activation::ALL.into_iter().chain([formula]) {
        for order in 0..3 {
            let [mut h, mut h1, mut h2] = [(); 3].map(|()| dense(gpu, layout.shape).0);
            let kernel = Activate {
                runs: &[(activation, 5)],
                p: View::new(&p, layout),
                h: ViewMut::new(&mut h, layout),
                h1: (order > 0).then(|| ViewMut::new(&mut h1, layout)),
                h2: (order > 1).then(|| ViewMut::new(&mut h2, layout)),
            };
            gpu.run(kernel.into()).unwrap();
        }
    }
}

fn losses(gpu: &Gpu) {
    let own = Loss::Custom(Arc::new(Square));
    let all: Vec<Loss> = Loss::examples(2).into_iter().chain([own]).collect();
    let (x, layout) = dense(gpu, [9, 1, 2]);
    let (omega, of_samples) = dense(gpu, [9, 1, 1]);
    for loss in &all {
        let (x, omega) = (View::new(&x, layout), View::new(&omega, of_samples));
        let (mut gradient, mut value) = (dense(gpu, layout.shape).0, gpu.sums(1).unwrap());
        let kernel = LossValue {
            loss,
            x,
            y: x,
            omega,
            value: &mut value,
            gradient: Some(ViewMut::new(&mut gradient, layout)),
        };
        gpu.run(kernel.into()).unwrap();
        let (mut hessian, whole) = dense(gpu, [9, 2, 2]);
        let out = ViewMut::new(&mut hessian, whole);
        let kernel = LossHessian { loss, x, y: x, omega, out };
        gpu.run(kernel.into()).unwrap();
    }
}

fn units(gpu: &Gpu, unit: &dyn Unit) {
    let (n, s, d) = (70, 3, 2);
    let t = unit.parameters(d);
    let (w, of_units) = dense(gpu, [1, s, t]);
    let (z, of_inputs) = dense(gpu, [n, 1, d]);
    let (delta, of_outputs) = dense(gpu, [n, 1, s]);
    let weights = View::new(&w, Layout::shared(n, s, t));
    let (z, delta) = (View::new(&z, of_inputs), View::new(&delta, of_outputs));
    let units = Units { unit, weights, z };
    assert_eq!(of_units.len(), s * t);
    let mut out = dense(gpu, of_outputs.shape).0;
    let out = &mut out;
    gpu.run(UnitValue { units, out: ViewMut::new(out, of_outputs) }.into()).unwrap();
    let directions = [(Some(weights), Some(z)), (Some(weights), None), (None, Some(z))];
    for (of_w, of_z) in directions {
        let along = || Direction { weights: of_w, inputs: of_z };
        gpu.run(UnitSlope { units, along: along(), out: ViewMut::new(out, of_outputs) }.into())
            .unwrap();
        for with_respect_to in [Argument::Parameters, Argument::Inputs] {
            let (mut out, layout) = dense(gpu, [n, s, units.width_of(with_respect_to)]);
            let view = ViewMut::new(&mut out, layout);
            let kernel = UnitDerivativeSlope { units, along: along(), with_respect_to, out: view };
            gpu.run(kernel.into()).unwrap();
            let view = ViewMut::new(&mut out, layout);
            gpu.run(UnitDerivative { units, with_respect_to, out: view }.into()).unwrap();
        }
    }
    let (mut out, layout) = dense(gpu, [n, d, d]);
    gpu.run(UnitInputHessian { units, delta, out: ViewMut::new(&mut out, layout) }.into()).unwrap();
    for diagonal in [false, true] {
        let len = if diagonal { s * t } else { s * t * (t + 1) / 2 };
        let mut sum = gpu.sums(len).unwrap();
        gpu.run(UnitParameterHessian { units, delta, diagonal, sum: &mut sum }.into()).unwrap();
    }
    // Of the numbers that a rehearsal has, nothing can be said.
    let text = unit::text(unit).unwrap().unwrap();
    gpu.compare(unit, text, d, t).unwrap();
}

fn elements(gpu: &Gpu) {
    let (a, layout) = dense(gpu, [4, 3, 3]);
    let (mut out, _) = dense(gpu, layout.shape);
    let view = View::new(&a, layout);
    let rows = view.with(|l| l.rows(0..1));
    let run = |kernel: Kernel<Array, Sum>| gpu.run(kernel).unwrap();
    run(Fill { value: 1.0, out: ViewMut::new(&mut out, layout) }.into());
    run(Copy { from: view, to: ViewMut::new(&mut out, layout) }.into());
    run(Scale { by: view, out: ViewMut::new(&mut out, layout) }.into());
    let to = ViewMut::new(&mut out, layout);
    run(Multiply { a: view, b: view, out: to, accumulate: false }.into());
    let to = ViewMut::new(&mut out, layout);
    run(ScaledMatrix { rows, matrix: view, columns: rows, out: to }.into());
    let to = || layout.rows(0..1);
    run(ProductDiagonal { x: view, b: view, out: ViewMut::new(&mut out, to()) }.into());
    let kernel =
        GaussNewtonDiagonal { jacobian: view, hessian: view, out: ViewMut::new(&mut out, to()) };
    run(kernel.into());
    let omega = view.with(|l| l.rows(0..1).columns(0..1));
    let kernel = SquaredGradient { delta: rows, omega, out: ViewMut::new(&mut out, to()) };
    run(kernel.into());
    let (mut out, pairs) = dense(gpu, [4, 1, 6]);
    run(LowerTriangle { a: view, out: ViewMut::new(&mut out, pairs) }.into());
    for order in 1..=4 {
        let mut sum = gpu.sums([3, 6, 10, 15][order - 1]).unwrap();
        run(TensorSum { order, c: omega, z: rows, sum: &mut sum }.into());
    }
}

fn products_and_sums(gpu: &Gpu) {
    for units in [1, 4, 7, 8, 16, 40, 70, 300] {
        for inputs in [1, 3, 6, 7, 20, 40, 70, 120, 300] {
            let n = 5000;
            let (z, of_inputs) = dense(gpu, [n, 1, inputs]);
            let (w, _) = dense(gpu, [1, units, inputs]);
            let (mut p, of_units) = dense(gpu, [n, 1, units]);
            let weights = Layout::shared(n, units, inputs);
            let z = View::new(&z, of_inputs);
            for (x, b) in [(z, weights.transposed()), (z, Layout::shared(n, inputs, units))] {
                let (b, out) = (View::new(&w, b), ViewMut::new(&mut p, of_units));
                gpu.run(Product { x, b, out, accumulate: false }.into()).unwrap();
            }
            let c = View::new(&p, of_units);
            let phi = z.with(|l| l.repeated_rows(units));
            let mut sum = gpu.sums(units * inputs).unwrap();
            gpu.run(WeightedSum { c, phi, sum: &mut sum, at: 0 }.into()).unwrap();
            gpu.run(GramDiagonal { c, phi, sum: &mut sum }.into()).unwrap();
            let mut sum = gpu.sums(units * inputs * (inputs + 1) / 2).unwrap();
            gpu.run(Gram { c, phi, sum: &mut sum }.into()).unwrap();
        }
    }
    super::sums::rehearse_forms(gpu);
}

/// The pipelines of all kernels, activations, losses and units, over shapes that use every variant.
pub fn keys() -> BTreeSet<Key> {
    let mut keys = BTreeSet::from([context::stamp()]);
    for (software, f64) in [(true, false), (true, true), (false, false), (false, true)] {
        let gpu = imagined(software, f64);
        activations(&gpu);
        losses(&gpu);
        elements(&gpu);
        products_and_sums(&gpu);
        gpu.roofline().unwrap();
        units(&gpu, &Own);
        for radial in &Radial::ALL {
            units(&gpu, radial);
        }
        keys.extend(gpu.rehearsed().unwrap().keys());
    }
    keys
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the shaders' files, without their extension.
fn on_disk() -> BTreeSet<String> {
    let (mut names, mut open) = (BTreeSet::new(), vec![root().join("shaders")]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "wgsl") {
                let name = path.strip_prefix(root().join("shaders")).unwrap();
                let name = name.with_extension("");
                names.insert(name.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    names
}

#[test]
fn every_kernel_has_a_shader_and_every_file_its_use() {
    let on_disk = on_disk();
    let mut embedded: BTreeSet<_> = source::FILES.iter().map(|f| f.0.to_string()).collect();
    embedded.extend(Activation::ALL.map(|a| format!("lib/activation/{a}")));
    embedded.extend(Loss::NAMES.map(|name| format!("lib/loss/{name}")));
    let lists = "the list in source.rs and the registries";
    assert_eq!(on_disk, embedded, "{lists}");
    let keys = keys();
    let used: BTreeSet<String> = keys.iter().flat_map(source::uses).collect();
    // A file, or a folder of variants.
    let kernel = |name: &str| name.split('/').next().unwrap_or(name).to_string();
    let kernels = Kernel::<Array, Sum>::NAMES;
    for name in &on_disk {
        match kernel(name).as_str() {
            "lib" => assert!(used.contains(name), "shaders/{name}.wgsl is not used"),
            other => {
                let known = other == "device" || kernels.contains(&other);
                assert!(known, "shaders/{name}.wgsl is of no kernel");
                let launched = keys.iter().any(|key| key.stem == name);
                assert!(launched, "shaders/{name}.wgsl is not launched");
            }
        }
    }
    for name in kernels {
        match *name {
            // Made of simpler kernels.
            "product_sum" | "pair_block" => continue,
            // The shaders of weighted_sum with SQUARED.
            "gram_diagonal" => continue,
            name => assert!(on_disk.iter().any(|file| kernel(file) == name), "{name}"),
        }
    }
}

/// The message of naga on a pipeline's shader; empty if it is right.
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
    let names = key.words();
    let params = (module.types.iter()).find(|(_, t)| t.name.as_deref() == Some("Params"));
    match params.map(|(_, t)| &t.inner) {
        Some(naga::TypeInner::Struct { members, .. }) => {
            let have: Vec<_> =
                (members.iter()).map(|m| m.name.clone().unwrap_or_default()).collect();
            if have != names {
                found.push(format!("the parameters are {have:?}, the host writes {names:?}"));
            }
            for (i, member) in members.iter().enumerate() {
                let scalar = &module.types[member.ty].inner;
                let word = *scalar == naga::TypeInner::Scalar(naga::Scalar::U32);
                if member.offset != 4 * i as u32 || !word {
                    found.push(format!("parameter {i} is at {}", member.offset));
                }
            }
            if 4 * members.len() > context::SLOT {
                found.push(format!("{} parameters do not fit a slot", members.len()));
            }
        }
        _ => found.push("there is no struct Params".into()),
    }
    // The arrays, as the host binds them.
    let float = if key.number == Number::F64 { 8 } else { 4 };
    let mut bound = vec![None; key.arrays.len()];
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = &variable.binding else {
            continue;
        };
        match variable.space {
            naga::AddressSpace::Uniform if binding.binding == 0 && binding.group == 0 => {}
            naga::AddressSpace::Storage { access } => {
                let write = access.contains(naga::StorageAccess::STORE);
                match module.types[variable.ty].inner {
                    naga::TypeInner::Array { stride, .. } if stride != float => {
                        found.push(format!("{:?} has a stride of {stride}", variable.name));
                    }
                    _ => {}
                }
                match bound.get_mut(binding.binding as usize - 1) {
                    Some(slot) => {
                        *slot = Some((variable.name.as_deref().unwrap_or_default(), write))
                    }
                    None => found.push(format!("{:?} is not bound", variable.name)),
                }
            }
            other => found.push(format!("{:?} in {other:?}", variable.name)),
        }
    }
    for (bound, array) in bound.iter().zip(&key.arrays) {
        if *bound != Some(*array) {
            found.push(format!("{bound:?} is declared, the host binds {array:?}"));
        }
    }
    let [entry] = &module.entry_points[..] else {
        return vec!["there must be one entry point".into()];
    };
    if entry.workgroup_size != [key.threads.size(), 1, 1] || key.threads.size() > 256 {
        found.push(format!("{:?} threads", entry.workgroup_size));
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

/// The complaints of the translations for Metal and DX12.
fn translated(
    module: &naga::Module,
    info: &naga::valid::ModuleInfo,
    entry: &naga::EntryPoint,
) -> Vec<String> {
    use naga::back::{hlsl, msl};
    let mut found = Vec::new();
    let options =
        msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
    match msl::write_string(module, info, &options, &msl::PipelineOptions::default()) {
        Ok((text, _)) if text.contains(&entry.name) => {}
        Ok(_) => found.push("Metal: the entry point is missing".into()),
        Err(error) => found.push(format!("Metal: {error}")),
    }
    let mut text = String::new();
    let options = hlsl::Options { fake_missing_bindings: true, ..Default::default() };
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
    assert!(wrong.is_empty(), "{} wrong, the first: {:#?}", wrong.len(), wrong[0]);
}

#[test]
fn the_check_of_variants_can_fail() {
    let keys = keys();
    let key = keys.iter().find(|k| k.stem == "scale" && k.number == Number::F32).unwrap();
    let text = source::text(key).unwrap();
    assert!(faults(key, &text).is_empty());
    for (from, to) in [
        ("var<storage, read> by", "var<storage, read_write> by"),
        ("@binding(2)", "@binding(3)"),
        ("    out_r: u32,", "    out_row: u32,"),
        ("    rows: u32,\n    columns: u32,", "    columns: u32,\n    rows: u32,"),
        ("alias real = f32", "alias real = f64"),
        ("@workgroup_size(64)", "@workgroup_size(32)"),
        ("] *= by", "] = by *"),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(!faults(key, &text.replace(from, to)).is_empty(), "{from}");
    }
}

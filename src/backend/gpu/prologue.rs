//! The beginning of every shader, from what is said of its launch: the parameters, the arrays, their views, and the entry point.
//!
//! A file in `shaders/` holds the equation alone, as `element(i, r, c)` or `work(group, thread)`. For an array `x` it finds `x`
//! itself and `at_x(i, r, c)`, the place of an element of the view; for a parameter, `params.name`.

use std::fmt::Write;

use super::launch::{Key, Number, Threads};

/// The text that stands before a shader's file.
pub fn prologue(key: &Key) -> String {
    let real = match key.number {
        Number::F32 => "f32",
        Number::F64 => "f64",
        Number::U32 => "u32",
    };
    let mut out = format!("alias real = {real};\n\nstruct Params {{\n");
    // Writing to a string cannot fail.
    for name in key.words() {
        let _ = writeln!(out, "    {name}: u32,");
    }
    out.push_str("}\n\n@group(0) @binding(0) var<uniform> params: Params;\n");
    for (i, (array, write)) in key.arrays.iter().enumerate() {
        let (binding, access) = (i + 1, if *write { "read_write" } else { "read" });
        let _ = writeln!(
            out,
            "@group(0) @binding({binding}) var<storage, {access}> {array}: array<real>;"
        );
    }
    for (array, _) in &key.arrays {
        let _ = write!(
            out,
            "
fn at_{array}(i: u32, r: u32, c: u32) -> u32 {{
    return params.{array}_offset + i * params.{array}_i + r * params.{array}_r + c * params.{array}_c;
}}
"
        );
    }
    let body = match key.threads {
        Threads::Elements => ELEMENT,
        Threads::Workgroup(_) => "    work(group, thread);\n",
    };
    let size = key.threads.size();
    let _ = write!(
        out,
        "
@compute @workgroup_size({size})
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {{
    // The host folds the numbers of workgroups over two dimensions, because one has at most 65 535, and may divide a long run over
    // several dispatches, each with its first number and its end.
    let group = params.first_group + id.x + id.y * params.groups_x;
    if group >= params.groups {{
        return;
    }}
{body}}}

"
    );
    out
}

const ELEMENT: &str = "    let item = group * 64u + thread;
    if item >= params.samples * params.rows * params.columns {
        return;
    }
    let line = item / params.columns;
    element(line / params.rows, line % params.rows, item % params.columns);
";

//! Launches as plain data, without a device.

use std::collections::BTreeMap;

/// The type `real` of a shader: that of its arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Number {
    F32,
    F64,
    /// Of the count of submissions alone.
    U32,
}

/// How the threads of a shader share its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Threads {
    /// One computes `element(i, r, c)` of a shape of samples × rows × columns, 64 to a workgroup.
    Elements,
    /// So many compute `work(group, thread)` together.
    Workgroup(u32),
}

impl Threads {
    /// Threads of a workgroup.
    pub fn size(self) -> u32 {
        match self {
            Threads::Elements => 64,
            Threads::Workgroup(size) => size,
        }
    }
}

/// The names of the first parameters of every shader: the dispatch's first workgroup, workgroups side by side, and the one after the
/// last workgroup.
pub const HEAD: [&str; 3] = ["first_group", "groups_x", "groups"];

/// The endings of the names of a view's four parameters: the place of its first number, and its strides along i, r and c.
pub const VIEW: [&str; 4] = ["offset", "i", "r", "c"];

/// The key of a pipeline: all that its text is made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The file in `shaders/` without its extension.
    pub stem: &'static str,
    pub number: Number,
    pub threads: Threads,
    /// The definitions that the file is expanded with.
    pub defines: BTreeMap<&'static str, String>,
    /// The names of the parameters of its own.
    pub params: Vec<&'static str>,
    /// The names of the arrays, and whether it writes to them.
    pub arrays: Vec<(&'static str, bool)>,
}

impl Key {
    /// The names of all parameters, in the order in which the host writes them, a 32-bit word each.
    pub fn words(&self) -> Vec<String> {
        let own = HEAD.iter().chain(&self.params).map(|name| name.to_string());
        let views =
            (self.arrays.iter()).flat_map(|(array, _)| VIEW.map(|end| format!("{array}_{end}")));
        own.chain(views).collect()
    }
}

/// One run of a shader.
#[derive(Debug, Clone)]
pub struct Launch {
    pub stem: &'static str,
    pub threads: Threads,
    pub defines: Vec<(&'static str, String)>,
    pub params: Vec<(&'static str, u64)>,
    /// The number of workgroups.
    pub groups: u64,
    /// The operations of one workgroup.
    pub flops_per_group: f64,
}

impl Launch {
    /// One thread for each element of a shape.
    pub fn elements(stem: &'static str, shape: [usize; 3], flops_per_element: f64) -> Self {
        let [samples, rows, columns] = shape.map(|length| length as u64);
        let items = samples.saturating_mul(rows).saturating_mul(columns);
        Launch {
            stem,
            threads: Threads::Elements,
            defines: Vec::new(),
            params: vec![("samples", samples), ("rows", rows), ("columns", columns)],
            groups: items.div_ceil(64),
            flops_per_group: 64.0 * flops_per_element,
        }
    }

    pub fn define(mut self, name: &'static str, value: impl ToString) -> Self {
        self.defines.push((name, value.to_string()));
        self
    }

    pub fn param(mut self, name: &'static str, value: u64) -> Self {
        self.params.push((name, value));
        self
    }
}

/// The bytes that are taken for a buffer of that size: sizes are rounded up to sixteenths of a power of two, so that a
/// buffer that is given back serves the next request of about its size.
pub fn class(bytes: u64) -> u64 {
    let step = (bytes.max(1).ilog2()).saturating_sub(4);
    bytes.max(1).next_multiple_of((1 << step).max(256))
}

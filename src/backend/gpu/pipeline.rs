//! A pipeline from a shader's text.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Mutex;

use super::launch::Key;
use crate::sync::lock;

/// Bind groups of one pipeline that are kept.
const GROUPS: usize = 256;

/// The buffers of a bind group, with the offset and the length of what is bound of each.
type Bound = Vec<(wgpu::Buffer, u64, u64)>;

/// A shader that can be dispatched.
#[derive(Debug)]
pub struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    groups: Mutex<BTreeMap<Bound, wgpu::BindGroup>>,
}

impl Pipeline {
    /// Returns the bind group of the parameters, so many bytes at a time, and of these arrays, and whether it had to be made.
    pub fn group(
        &self,
        device: &wgpu::Device,
        (ring, slot): (&wgpu::Buffer, u64),
        arrays: &[(&wgpu::Buffer, u64, u64)],
    ) -> (wgpu::BindGroup, bool) {
        let key: Bound =
            arrays.iter().map(|&(buffer, at, len)| (buffer.clone(), at, len)).collect();
        let mut groups = lock(&self.groups);
        if let Some(group) = groups.get(&key) {
            return (group.clone(), false);
        }
        let bound = [(ring, 0, slot)].into_iter().chain(arrays.iter().copied());
        let entries: Vec<_> = (0..)
            .zip(bound)
            .map(|(binding, (buffer, offset, bytes))| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset,
                    size: NonZeroU64::new(bytes),
                }),
            })
            .collect();
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.layout,
            entries: &entries,
        });
        if groups.len() >= GROUPS {
            groups.clear();
        }
        groups.insert(key, group.clone());
        (group, true)
    }

    /// Drops all bind groups.
    pub fn forget_groups(&self) {
        lock(&self.groups).clear();
    }
}

/// Returns the pipeline of a text, or the compiler's words. Panics where the device is lost.
pub fn build(
    device: &wgpu::Device,
    cache: Option<&wgpu::PipelineCache>,
    key: &Key,
    text: String,
) -> Result<Pipeline, String> {
    let scopes = [
        device.push_error_scope(wgpu::ErrorFilter::Internal),
        device.push_error_scope(wgpu::ErrorFilter::Validation),
    ];
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(key.stem),
        source: wgpu::ShaderSource::Wgsl(text.into()),
    });
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(key.stem),
        entries: &entries(key),
    });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(key.stem),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(key.stem),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: None,
        compilation_options: wgpu::PipelineCompilationOptions {
            // Every kernel writes what it reads of the memory that a workgroup shares.
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache,
    });
    let mut error = None;
    for scope in scopes.into_iter().rev() {
        error = pollster::block_on(scope.pop()).or(error);
    }
    match error {
        Some(error) => Err(error.to_string()),
        None => Ok(Pipeline { pipeline, layout, groups: Mutex::default() }),
    }
}

/// The parameters, then the arrays.
fn entries(key: &Key) -> Vec<wgpu::BindGroupLayoutEntry> {
    let entry =
        |binding: usize, ty: wgpu::BufferBindingType, dynamic: bool| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: dynamic,
                min_binding_size: None,
            },
            count: None,
        };
    let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, true)];
    entries.extend(key.arrays.iter().enumerate().map(|(i, &(_, write))| {
        let ty = wgpu::BufferBindingType::Storage { read_only: !write };
        entry(i + 1, ty, false)
    }));
    entries
}

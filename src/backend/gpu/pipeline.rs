//! A pipeline from a shader's text.

use super::launch::Key;

/// A shader that can be dispatched.
#[derive(Debug)]
pub struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
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
        None => Ok(Pipeline { pipeline, layout }),
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

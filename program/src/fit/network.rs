//! The network that is fitted to a table.

use std::fmt;
use std::path::Path;

use secondo::io::network_from_path;
use secondo::{Activation, Error, Group, Layer, Network};
use serde::{Deserialize, Serialize};

use super::hidden::HiddenLayer;
use super::options::NetworkOptions;
use crate::exit::Failure;

/// The network as the options give it, for reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// None where a file has the network.
    pub hidden: Option<Vec<HiddenLayer>>,
    skip: bool,
    architecture: Option<String>,
    pub activation: String,
}

impl Architecture {
    /// Returns what these options say.
    pub fn of(options: &NetworkOptions) -> Self {
        let file = options.architecture.as_deref();
        Architecture {
            hidden: (file.is_none()).then(|| hidden_layers(options).to_vec()),
            skip: options.skip,
            architecture: file.map(|path| path.display().to_string()),
            activation: options.activation().name().into(),
        }
    }
}

/// The kinds of the hidden units and what feeds them, in words.
impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.architecture {
            return write!(f, "as in {path}");
        }
        let name = |l: &HiddenLayer| match l.form {
            None => self.activation.clone(),
            Some(form) => form.name().into(),
        };
        match self.hidden.as_deref().unwrap_or_default() {
            [] => write!(f, "no hidden layer")?,
            layers if layers.iter().all(|l| l.form.is_none()) => {
                write!(f, "{} hidden units", self.activation)?;
            }
            layers => {
                let names: Vec<String> = layers.iter().map(name).collect();
                write!(f, "hidden units {}", names.join(", "))?;
            }
        }
        if self.skip {
            write!(f, ", all layers fed by all before")?;
        }
        Ok(())
    }
}

fn hidden_layers(options: &NetworkOptions) -> &[HiddenLayer] {
    options.hidden.first().map_or(&[], |hidden| &hidden.0)
}

/// The network that the options or their file describe.
///
/// # Errors
/// A file that describes none, or one of other inputs or outputs than the table has; a network that memory cannot hold.
pub fn network(
    options: &NetworkOptions,
    inputs: usize,
    outputs: usize,
) -> Result<Network, Failure> {
    let network = match &options.architecture {
        Some(path) => from_file(path, inputs, outputs)?,
        None => {
            let layers = hidden_layers(options).iter().map(|layer| match layer.form {
                None => Layer::dense(layer.units, options.activation()),
                Some(form) => {
                    let units = Group::radial(layer.units, form, Activation::ExpNegHalf);
                    Layer::of(vec![units]).without_bias()
                }
            });
            let layers = layers.chain([Layer::dense(outputs, Activation::Identity)]);
            let fed = |(before, layer): (usize, Layer)| {
                if options.skip { layer.sources((0..=before).collect::<Vec<_>>()) } else { layer }
            };
            Network::new(inputs, layers.enumerate().map(fed).collect())?
        }
    };
    check_size(&network)?;
    Ok(network)
}

fn from_file(path: &Path, inputs: usize, outputs: usize) -> Result<Network, Failure> {
    let network = network_from_path(path)?;
    for (what, has, needs) in
        [("inputs", network.inputs(), inputs), ("outputs", network.outputs(), outputs)]
    {
        if has != needs {
            return Err(Failure::from(Error::Format {
                path: path.into(),
                line: None,
                column: None,
                why: format!("the network has {has} {what}; the table needs {needs}"),
            }));
        }
    }
    Ok(network)
}

/// A network whose parameters cannot be held is refused before they are allocated.
fn check_size(network: &Network) -> Result<(), Error> {
    // Parameters, gradient, a trial point and the diagonal of a curvature, at the very least.
    let need = 32 * network.parameters() as u64;
    secondo::require_memory(&format!("the network {network}"), need, "use narrower hidden layers")
}

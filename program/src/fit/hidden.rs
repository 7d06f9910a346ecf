//! Hidden layers as users write them.

use secondo::Radial;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The hidden layers.
#[derive(Debug, Clone)]
pub struct Hidden(pub Vec<HiddenLayer>);

/// So many units: linear, or radial ones with the activation that makes them Gaussians. In JSON the number, or a text as
/// in `rbf_full:8`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub struct HiddenLayer {
    pub units: usize,
    pub form: Option<Radial>,
}

impl Hidden {
    /// The layers that a text as `16,rbf:8` or `none` names.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Hidden(Vec::new()));
        }
        let layers = text.split(',').map(|text| HiddenLayer::parse(text.trim()));
        Ok(Hidden(layers.collect::<Result<_, _>>()?))
    }
}

impl HiddenLayer {
    fn parse(text: &str) -> Result<Self, String> {
        let (form, width) = match text.split_once(':') {
            None => (None, text),
            Some(("rbf", width)) => (Some(Radial::IsotropicLogSigma), width),
            Some((name, width)) => {
                let form = Radial::from_name(name).map_err(|e| format!("{e}, rbf"))?;
                (Some(form), width)
            }
        };
        match width.parse::<usize>() {
            Ok(0) => Err("a layer of zero width; each layer needs at least one unit".to_string()),
            Ok(units) => Ok(HiddenLayer { units, form }),
            Err(_) => Err(format!(
                "'{width}' is not a width; give whole numbers as in 16,8, radial units as in rbf:8, or none"
            )),
        }
    }
}

impl HiddenLayer {
    /// The layer as `--hidden` takes it.
    pub fn in_words(&self) -> String {
        match self.form {
            None => self.units.to_string(),
            Some(form) => format!("{}:{}", form.name(), self.units),
        }
    }
}

impl From<HiddenLayer> for Value {
    fn from(layer: HiddenLayer) -> Self {
        match layer.form {
            None => json!(layer.units),
            Some(_) => json!(layer.in_words()),
        }
    }
}

impl TryFrom<Value> for HiddenLayer {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match &value {
            Value::String(text) => HiddenLayer::parse(text),
            number => HiddenLayer::parse(&number.to_string()),
        }
    }
}

//! The network: layers, units, and where each parameter stands in the flat vector.
//!
//! Layer 0 is the input; layers 1 … m compute (paper eq. 1)
//!
//! ```text
//! z^k = (x^t for t in src(k), t increasing, then 1 if the layer has a bias)
//! p_j^k = P_j(z^k; w_j^k)          linear units: p_j^k = w_j^k · z^k
//! x_j^k = h_j^k(p_j^k)
//! ```
//!
//! A layer may be fed by any earlier layers. Its units stand in *groups*: the units of one group share
//! a propagation `P` and the number of parameters; the activation may differ from unit to unit.
//! The flat parameter vector runs layer by layer, unit by unit; a linear unit's row follows the order
//! of z, the bias last.

mod activation;
mod constraint;
mod initial;
mod propagation;
mod radial;
mod unit;

use std::fmt;
use std::ops::Range;

pub(crate) use activation::FormulaUse;
pub use activation::{Activation, ActivationFunction, Custom, Series};
pub use constraint::Constraint;
pub use initial::Initialization;
pub use propagation::Propagation;
pub use radial::{Normalized, Radial};
pub(crate) use unit::exact;
pub use unit::{ExactUnit, HigherUnit, Unit};

use crate::error::{Error, Result};
use crate::memory::{bytes_of, require_large};

/// The most parameters, units and inputs: lengths are also used in bytes and as signed offsets.
const MOST_NUMBERS: usize = isize::MAX as usize / 16;

/// The most normalised units of a layer.
const MOST_NORMALIZED: usize = 1 << 18;

/// Units of one layer that share a propagation.
#[derive(Debug, Clone)]
pub struct Group {
    propagation: Propagation,
    /// Runs of units with one activation: a million units cost no more than one.
    runs: Vec<(Activation, usize)>,
}

impl Group {
    /// `units` linear units with one activation.
    pub fn linear(units: usize, activation: Activation) -> Self {
        Group::uniform(Propagation::Linear, units, activation)
    }

    /// `units` radial units with one activation; [`ExpNegHalf`](Activation::ExpNegHalf) makes Gaussians.
    ///
    /// ```
    /// use secondo::{Activation, Group, Layer, Network, Radial};
    /// // Two Gaussians beside a linear unit, each with μ and ln σ of its own.
    /// let net = Network::new(3, vec![
    ///     Layer::of(vec![Group::radial(2, Radial::DiagonalLogSigma, Activation::ExpNegHalf)])
    ///         .and(Group::linear(1, Activation::Tanh)),
    ///     Layer::dense(1, Activation::Identity),
    /// ])?;
    /// assert_eq!(net.parameters(), 2 * (3 + 3) + 1 * (3 + 1) + (3 + 1));
    /// # Ok::<(), secondo::Error>(())
    /// ```
    pub fn radial(units: usize, form: Radial, activation: Activation) -> Self {
        Group::uniform(Propagation::Radial(form), units, activation)
    }

    /// `units` units with this propagation and one activation.
    pub fn uniform(propagation: Propagation, units: usize, activation: Activation) -> Self {
        Group { propagation, runs: vec![(activation, units)] }
    }

    /// Units with this propagation, one for each activation.
    pub fn new(
        propagation: Propagation,
        activations: impl IntoIterator<Item = Activation>,
    ) -> Self {
        let mut runs: Vec<(Activation, usize)> = Vec::new();
        for activation in activations {
            match runs.last_mut() {
                Some((last, units)) if *last == activation => *units += 1,
                _ => runs.push((activation, 1)),
            }
        }
        Group { propagation, runs }
    }
}

/// One layer: its sources, whether it has a bias, and its units.
///
/// ```
/// use secondo::{Activation, Layer, Network};
/// // The output layer sees the input directly, too.
/// let net = Network::new(2, vec![
///     Layer::dense(3, Activation::Tanh),
///     Layer::dense(1, Activation::Identity).sources([0, 1]),
/// ])?;
/// assert_eq!(net.parameters(), 3 * (2 + 1) + (2 + 3 + 1));
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Layer {
    sources: Option<Vec<usize>>,
    bias: bool,
    groups: Vec<Group>,
}

impl Layer {
    /// Linear units with one activation and a bias, fed by the layer before.
    pub fn dense(units: usize, activation: Activation) -> Self {
        Layer::of(vec![Group::linear(units, activation)])
    }

    /// A layer without parameters that divides Gaussians by their sum: x_j = e^(−z_j/2) / Σ_c e^(−z_c/2).
    ///
    /// Behind a layer of as many radial units with the identity as activation, z_j = p_j, it makes normalised radial units.
    /// This is how units are coupled: the sum is a layer of its own, every unit in it a function of the whole layer before,
    /// and every curvature holds in every structure. The price, for k units and each sample: k² exponentials for the
    /// values, k² numbers for ∂x/∂z, and k³ multiplications for what the exact Hessian needs of ∂²x/∂z².
    ///
    /// ```
    /// use secondo::{Activation, Group, Layer, Network, Radial};
    /// use ndarray::array;
    /// let net = Network::new(1, vec![
    ///     Layer::of(vec![Group::radial(2, Radial::IsotropicSigma, Activation::Identity)]),
    ///     Layer::normalized(2),
    ///     Layer::dense(1, Activation::Identity).without_bias(),
    /// ])?;
    /// // Centres 0 and 2, σ = 1, outputs 10 and 30: half of each half-way.
    /// let w = [0.0, 1.0, 2.0, 1.0, 10.0, 30.0];
    /// assert_eq!(net.predict(&w, &array![[1.0]])?, array![[20.0]]);
    /// # Ok::<(), secondo::Error>(())
    /// ```
    pub fn normalized(units: usize) -> Self {
        let group = |j, units| {
            let unit = Propagation::Normalized(Normalized(j));
            Group::uniform(unit, units, Activation::Identity)
        };
        // The units² numbers of one sample with more take half a terabyte. `Network::new` refuses this group.
        let groups = if units > MOST_NORMALIZED {
            vec![group(0, units)]
        } else {
            (0..units).map(|j| group(j, 1)).collect()
        };
        Layer::of(groups).without_bias()
    }

    /// A layer of the given groups with a bias, fed by the layer before.
    pub fn of(groups: Vec<Group>) -> Self {
        Layer { sources: None, bias: true, groups }
    }

    /// The same layer fed by these earlier layers (0 is the input), in increasing order.
    pub fn sources(mut self, sources: impl Into<Vec<usize>>) -> Self {
        self.sources = Some(sources.into());
        self
    }

    /// The same layer without the constant 1 in z.
    pub fn without_bias(mut self) -> Self {
        self.bias = false;
        self
    }

    /// The same layer with further units behind its own.
    pub fn and(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }
}

/// A layer of a [`Network`], with the places of its parameters.
#[derive(Debug, Clone)]
pub struct LayerView {
    /// src(k): the layers that feed this one, increasing.
    pub sources: Vec<usize>,
    /// Whether z ends with the constant 1.
    pub bias: bool,
    /// The groups of units, with their places.
    pub groups: Vec<GroupView>,
    /// s_k, the number of units.
    pub units: usize,
    /// Σ s_t over the sources: the width of z without the constant.
    pub inputs: usize,
    /// The place of this layer's parameters in the flat vector.
    pub range: Range<usize>,
}

impl LayerView {
    /// The width of z with the constant, d_k for linear units.
    pub fn width(&self) -> usize {
        self.inputs + usize::from(self.bias)
    }

    /// Whether all units are linear in z and in their parameters.
    pub fn is_linear(&self) -> bool {
        self.groups.iter().all(|g| g.propagation.is_linear())
    }

    /// Whether other layers feed it, not the inputs alone.
    pub(crate) fn has_hidden_sources(&self) -> bool {
        self.sources.iter().any(|&t| t > 0)
    }

    /// The activations as runs of units: each with the number of units that share it.
    pub fn runs(&self) -> Vec<(Activation, usize)> {
        self.groups.iter().flat_map(|g| g.runs.clone()).collect()
    }
}

/// A group of a [`Network`]'s layer, with the places of its units and parameters.
#[derive(Debug, Clone)]
pub struct GroupView {
    /// The units' p as a function of z and their parameters.
    pub propagation: Propagation,
    /// The activations as runs of units: each with the number of units that share it.
    pub runs: Vec<(Activation, usize)>,
    /// The places of these units in the layer.
    pub units: Range<usize>,
    /// The number of parameters of one unit.
    pub row: usize,
    /// The place of the group's parameters in the flat vector, unit by unit.
    pub range: Range<usize>,
}

impl GroupView {
    /// The activation of each unit.
    pub fn activations(&self) -> impl Iterator<Item = Activation> + '_ {
        (self.runs.iter()).flat_map(|&(activation, units)| std::iter::repeat_n(activation, units))
    }
}

/// A feed-forward network: any number of layers, each fed by any earlier ones.
///
/// ```
/// use secondo::{Activation, Network};
/// let net = Network::dense(&[10, 16, 1], Activation::Tanh)?; // 16 tanh units, a linear output
/// assert_eq!(net.parameters(), 16 * 11 + 17);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Network {
    inputs: usize,
    layers: Vec<LayerView>,
    /// For each layer from 0 the layers that it feeds, each with its first column in their z.
    consumers: Vec<Vec<(usize, usize)>>,
}

impl Network {
    /// The network with `inputs` inputs and these layers.
    ///
    /// # Errors
    /// No layer, no input, a layer or group without units, a source that is not an earlier layer or is
    /// named twice, a normalised unit without an input of its number or at another place, no parameter at all, sizes whose product overflows.
    /// `Memory`: not even one vector of its parameters fits.
    /// `Part`: a unit of the user's own panics. In debug builds `Derivative`: a derivative of such a unit is wrong
    /// ([`Propagation::check`]).
    pub fn new(inputs: usize, layers: Vec<Layer>) -> Result<Self> {
        if inputs == 0 {
            return Err(Error::invalid("network", "it needs at least one input"));
        }
        if layers.is_empty() {
            return Err(Error::invalid("network", "it needs at least one layer"));
        }
        let mut widths = vec![inputs];
        let mut views = Vec::with_capacity(layers.len());
        let mut consumers = vec![Vec::new(); layers.len() + 1];
        let mut offset = 0usize;
        for (index, layer) in layers.into_iter().enumerate() {
            let view = place(index + 1, layer, &widths, offset)?;
            offset = view.range.end;
            let mut column = 0;
            for &t in &view.sources {
                consumers[t].push((index + 1, column));
                column += widths[t];
            }
            widths.push(view.units);
            views.push(view);
        }
        if offset == 0 {
            let why = "no unit has parameters; there is nothing to train";
            return Err(Error::invalid("network", why));
        }
        let network = Network { inputs, layers: views, consumers };
        let (what, need) = (format!("a parameter vector of {network}"), bytes_of(&[8, offset]));
        require_large(&what, need, "make the layers narrower")?;
        Ok(network)
    }

    /// Layers of the given widths, each fed by the one before, with biases: hidden units have the
    /// activation, output units are linear. `widths` starts with the inputs and ends with the outputs.
    ///
    /// # Errors
    /// Fewer than two widths, a width of 0, sizes whose product overflows.
    pub fn dense(widths: &[usize], activation: Activation) -> Result<Self> {
        let [inputs, hidden @ .., outputs] = widths else {
            return Err(Error::invalid("widths", "at least the inputs and the outputs are needed"));
        };
        let mut layers: Vec<_> =
            hidden.iter().map(|&units| Layer::dense(units, activation)).collect();
        layers.push(Layer::dense(*outputs, Activation::Identity));
        Network::new(*inputs, layers)
    }

    /// Returns s_0, the number of inputs.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Returns s_m, the number of outputs.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |l| l.units)
    }

    /// Returns m, the number of layers without the input.
    pub fn depth(&self) -> usize {
        self.layers.len()
    }

    /// Returns P, the length of the flat parameter vector.
    pub fn parameters(&self) -> usize {
        self.layers.last().map_or(0, |l| l.range.end)
    }

    /// Returns layer k, 1 ≤ k ≤ m, or `None`.
    pub fn layer(&self, k: usize) -> Option<&LayerView> {
        k.checked_sub(1).and_then(|index| self.layers.get(index))
    }

    /// The layers 1 … m in order.
    pub fn layers(&self) -> &[LayerView] {
        &self.layers
    }

    /// Returns s_k, the number of units of layer k; layer 0 is the input.
    pub fn width(&self, k: usize) -> usize {
        match k {
            0 => self.inputs,
            _ => self.layers.get(k - 1).map_or(0, |l| l.units),
        }
    }

    /// The layers that layer k feeds, each with the first column of layer k in its z.
    pub fn consumers(&self, k: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.consumers.get(k).into_iter().flatten().copied()
    }

    /// Whether the outputs of layer k are kept as the inputs of its [`only_consumer`](Self::only_consumer), with the constant.
    pub(crate) fn constant_behind(&self, k: usize) -> bool {
        (self.only_consumer(k)).is_some_and(|r| self.layers[r - 1].bias)
    }

    /// The layer that has the outputs of layer k as its only inputs, if nothing else has them.
    pub(crate) fn only_consumer(&self, k: usize) -> Option<usize> {
        let mut consumers = self.consumers(k).map(|(r, _)| r);
        let r = consumers.next().filter(|_| consumers.next().is_none())?;
        (self.layers[r - 1].sources == [k]).then_some(r)
    }

    /// Every group of units that have parameters with its layer (from 1), in the order of the flat vector.
    pub fn groups(&self) -> impl Iterator<Item = (usize, &GroupView)> {
        self.all_groups().filter(|(_, g)| g.row > 0)
    }

    /// Every group of units, also of those without parameters, with its layer (from 1).
    pub(crate) fn all_groups(&self) -> impl Iterator<Item = (usize, &GroupView)> {
        (1..).zip(&self.layers).flat_map(|(k, layer)| layer.groups.iter().map(move |g| (k, g)))
    }

    /// Every unit that has parameters in the order of the flat vector: layer (from 1), row in the layer (from 0), and where
    /// its parameters stand.
    pub fn rows(&self) -> impl Iterator<Item = (usize, usize, Range<usize>)> + '_ {
        self.groups().flat_map(|(k, g)| {
            g.units.clone().enumerate().map(move |(local, unit)| {
                let start = g.range.start + local * g.row;
                (k, unit, start..start + g.row)
            })
        })
    }

    /// Whether each parameter is the bias of a linear unit, in the order of the flat vector.
    pub fn is_bias(&self) -> Vec<bool> {
        let mut mask = vec![false; self.parameters()];
        for layer in self.layers.iter().filter(|l| l.bias) {
            for g in layer.groups.iter().filter(|g| g.propagation.is_linear()) {
                for end in (g.range.start..g.range.end).step_by(g.row).map(|s| s + g.row) {
                    mask[end - 1] = true;
                }
            }
        }
        mask
    }

    /// Checks that every unit has the derivatives that the exact Hessian needs.
    pub(crate) fn check_exact(&self) -> Result<()> {
        (self.all_groups())
            .filter_map(|(_, g)| g.propagation.unit())
            .try_for_each(|unit| exact(unit).map(drop))
    }

    /// Checks that `w` has one finite number for each parameter.
    pub(crate) fn check(&self, w: &[f64]) -> Result<()> {
        if w.len() != self.parameters() {
            return Err(Error::shape("parameters", &[self.parameters()], &[w.len()]));
        }
        match w.iter().position(|v| !v.is_finite()) {
            Some(i) => Err(Error::non_finite("parameters", &[i])),
            None => Ok(()),
        }
    }
}

/// Returns layer `k` with its sizes checked and its parameters placed from `offset` on.
fn place(k: usize, layer: Layer, widths: &[usize], offset: usize) -> Result<LayerView> {
    let name = || format!("layer {k}");
    let too_large = || Error::TooLarge { what: format!("the parameters of layer {k}") };
    let sources = layer.sources.unwrap_or_else(|| vec![k - 1]);
    if sources.is_empty() || sources.windows(2).any(|p| p[0] >= p[1]) {
        return Err(Error::invalid(
            name(),
            "its sources must be earlier layers in increasing order, at least one",
        ));
    }
    if let Some(&bad) = sources.iter().find(|&&t| t >= k) {
        return Err(Error::invalid(name(), format!("source {bad} is not an earlier layer")));
    }
    let empty = |g: &Group| g.runs.is_empty() || g.runs.iter().any(|r| r.1 == 0);
    if layer.groups.is_empty() || layer.groups.iter().any(empty) {
        return Err(Error::invalid(name(), "a layer or group without units"));
    }
    let inputs = sources
        .iter()
        .try_fold(0usize, |sum, &t| sum.checked_add(widths[t]))
        .filter(|&inputs| inputs <= MOST_NUMBERS)
        .ok_or_else(too_large)?;
    let mut units = 0usize;
    let mut end = offset;
    let mut groups = Vec::with_capacity(layer.groups.len());
    for group in layer.groups {
        let row = propagation::parameters(&group.propagation, inputs, layer.bias)?;
        let count = (group.runs.iter())
            .try_fold(0usize, |sum, r| sum.checked_add(r.1))
            .ok_or_else(too_large)?;
        if let Propagation::Normalized(Normalized(j)) = group.propagation {
            if j >= inputs {
                let why = format!("normalised unit {j} needs an input {j}, and there are {inputs}");
                return Err(Error::invalid(name(), why));
            }
            // Files give the units' places alone.
            if (j, count) != (units, 1) {
                let why = format!(
                    "normalised unit {j} must be a group of its own at place {j} of its layer, \
                     and stands at place {units} in a group of {count}"
                );
                return Err(Error::invalid(name(), why));
            }
        }
        let start = end;
        end = count
            .checked_mul(row)
            .and_then(|len| len.checked_add(start))
            .filter(|&e| e <= MOST_NUMBERS)
            .ok_or_else(too_large)?;
        // Units may have no parameters.
        let next = units.checked_add(count).filter(|&u| u <= MOST_NUMBERS).ok_or_else(too_large)?;
        groups.push(GroupView {
            propagation: group.propagation,
            runs: group.runs,
            units: units..next,
            row,
            range: start..end,
        });
        units = next;
    }
    Ok(LayerView { sources, bias: layer.bias, groups, units, inputs, range: offset..end })
}

impl fmt::Display for Network {
    /// `[10-16-1]`, the widths.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.inputs)?;
        for layer in &self.layers {
            write!(f, "-{}", layer.units)?;
        }
        write!(f, "]")
    }
}

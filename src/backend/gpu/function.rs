//! Activations and losses: as shaders, or on the host where the user's have no WGSL.

use super::launch::Launch;
use super::{Array, Gpu, Sum};
use crate::backend::kernel::{Activate, LossHessian, LossValue};
use crate::backend::{Layout, View, ViewMut};
use crate::error::Result;
use crate::network::Activation;
use crate::objective::{Loss, Parameter};

/// x, y and ω of a loss.
pub(super) struct Samples<'a> {
    loss: &'a Loss,
    x: View<'a, Array>,
    y: View<'a, Array>,
    omega: View<'a, Array>,
    /// The loss's own number for each output.
    constants: Array,
}

impl Gpu {
    pub(super) fn activate(&self, k: Activate<Array>) -> Result<()> {
        let on_host = |a: Activation| matches!(a, Activation::Custom(c) if c.wgsl().is_none());
        if k.runs.iter().any(|r| on_host(r.0)) {
            return self.activate_on_host(k);
        }
        for &(activation, _) in k.runs {
            if let Activation::Custom(custom) = activation {
                self.check_activation(custom)?;
            }
        }
        self.activate_by_shader(&k)
    }

    pub(super) fn activate_by_shader(&self, k: &Activate<Array>) -> Result<()> {
        let [n, _, _] = k.p.shape();
        let mut first = 0;
        for &(activation, units) in k.runs {
            let stem = match activation {
                Activation::Custom(custom) => custom.stem(),
                builtin => builtin.name().into(),
            };
            let launch = Launch::elements("activate", [n, 1, units], 20.0)
                .define("ACTIVATION", stem)
                .define("ORDER1", usize::from(k.h1.is_some()))
                .define("ORDER2", usize::from(k.h2.is_some()));
            let columns = first..first + units;
            let p = k.p.with(|l| l.columns(columns.clone()));
            let mut binds = vec![self.reads("p", &p)];
            let outputs = [("h", Some(&k.h)), ("h1", k.h1.as_ref()), ("h2", k.h2.as_ref())];
            binds.extend(outputs.into_iter().filter_map(|(name, out)| {
                let out = out?;
                let layout = out.layout.columns(columns.clone());
                Some(self.bind(name, out.array, layout, true))
            }));
            self.launch(&launch, &binds)?;
            first += units;
        }
        Ok(())
    }

    pub(super) fn loss_value(&self, k: LossValue<Array, Sum>) -> Result<()> {
        if k.loss.wgsl()?.is_none() {
            return self.loss_value_on_host(k);
        }
        let samples = self.samples(k.loss, k.x, k.y, k.omega)?;
        let [n, _, outputs] = k.x.shape();
        self.drain(k.value, "loss_value")?;
        if n == 0 {
            return Ok(());
        }
        let mut each = self.array(&[n], "loss_value")?;
        let values = ViewMut::new(&mut each, Layout::rows_of(n, 1));
        self.loss("loss_value", [n, 1, 1], false, &samples, &values)?;
        self.accumulate(k.value, std::iter::once(0..1).collect(), n, each, "loss_value")?;
        if let Some(gradient) = &k.gradient {
            self.loss("loss_value", [n, 1, outputs], true, &samples, gradient)?;
        }
        Ok(())
    }

    pub(super) fn loss_hessian(&self, k: LossHessian<Array>) -> Result<()> {
        if k.loss.wgsl()?.is_none() {
            return self.loss_hessian_on_host(k);
        }
        let samples = self.samples(k.loss, k.x, k.y, k.omega)?;
        let [n, _, outputs] = k.x.shape();
        self.loss("loss_hessian", [n, outputs, 1], false, &samples, &k.out)
    }

    pub(super) fn samples<'a>(
        &self,
        loss: &'a Loss,
        x: View<'a, Array>,
        y: View<'a, Array>,
        omega: View<'a, Array>,
    ) -> Result<Samples<'a>> {
        let outputs = x.shape()[2];
        let constants = match loss.parameter().1 {
            Parameter::All(v) => vec![v; outputs],
            Parameter::Each(v) => v.to_vec(),
        };
        Ok(Samples { loss, x, y, omega, constants: self.store(&constants, "loss")? })
    }

    /// A thread for each element of the shape writes to `out`; a row of the Hessian is written by one thread.
    pub(super) fn loss(
        &self,
        stem: &'static str,
        shape: [usize; 3],
        gradient: bool,
        samples: &Samples,
        out: &ViewMut<Array>,
    ) -> Result<()> {
        let [n, _, outputs] = samples.x.shape();
        let launch = Launch::elements(stem, shape, 20.0 * outputs as f64);
        let launch = match samples.loss {
            Loss::Custom(_) => launch
                .define("CUSTOM", samples.loss.wgsl()?.unwrap_or_default())
                .define("OUTPUTS", outputs),
            builtin => launch
                .define("LOSS", builtin.name())
                .define("COUPLED", usize::from(!builtin.hessian_is_diagonal())),
        };
        let launch =
            launch.define("GRADIENT", usize::from(gradient)).param("outputs", outputs as u64);
        let of_outputs = Layout::shared(n, 1, outputs);
        let binds = [
            self.reads("x", &samples.x),
            self.reads("y", &samples.y),
            self.reads("omega", &samples.omega),
            self.bind("constants", &samples.constants, of_outputs, false),
            self.writes("out", out),
        ];
        self.launch(&launch, &binds)
    }
}

//! Kernels with a thread for each element of what they write.

use super::launch::Launch;
use super::{Array, Gpu, covers};
use crate::backend::kernel::{
    Copy, Fill, GaussNewtonDiagonal, LowerTriangle, Multiply, ProductDiagonal, Scale, ScaledMatrix,
    SquaredGradient,
};
use crate::error::Result;

impl Gpu {
    pub(super) fn fill(&self, k: &Fill<Array>) -> Result<()> {
        if covers(&k.out) && k.value.to_bits() == 0 {
            return self.machine.clear(&k.out.array.buffer);
        }
        let bits = if self.f64 { k.value.to_bits() } else { u64::from((k.value as f32).to_bits()) };
        let launch = Launch::elements("fill", k.out.shape(), 0.0)
            .param("low", bits & u64::from(u32::MAX))
            .param("high", bits >> 32);
        self.launch(&launch, &[self.writes("out", &k.out)])
    }

    pub(super) fn copy(&self, k: &Copy<Array>) -> Result<()> {
        let launch = Launch::elements("copy", k.to.shape(), 0.0);
        let binds = [self.reads("source", &k.from), self.writes("to", &k.to)];
        self.launch(&launch, &binds)
    }

    pub(super) fn scale(&self, k: &Scale<Array>) -> Result<()> {
        let launch = Launch::elements("scale", k.out.shape(), 1.0);
        let binds = [self.reads("by", &k.by), self.writes("out", &k.out)];
        self.launch(&launch, &binds)
    }

    pub(super) fn multiply(&self, k: &Multiply<Array>) -> Result<()> {
        let launch = Launch::elements("multiply", k.out.shape(), 2.0)
            .param("accumulate", k.accumulate.into());
        let binds = [self.reads("a", &k.a), self.reads("b", &k.b), self.writes("out", &k.out)];
        self.launch(&launch, &binds)
    }

    pub(super) fn scaled_matrix(&self, k: &ScaledMatrix<Array>) -> Result<()> {
        let launch = Launch::elements("scaled_matrix", k.out.shape(), 2.0);
        let binds = [
            self.reads("p", &k.rows),
            self.reads("m", &k.matrix),
            self.reads("d", &k.columns),
            self.writes("out", &k.out),
        ];
        self.launch(&launch, &binds)
    }

    /// The inner rows of b in windows.
    pub(super) fn product_diagonal(&self, k: &ProductDiagonal<Array>) -> Result<()> {
        for inner in self.windows(&k.b, 1)? {
            let launch =
                Launch::elements("product_diagonal", k.out.shape(), 2.0 * inner.len() as f64)
                    .param("inner", inner.len() as u64);
            let (x, b) = (k.x.with(|l| l.rows(inner.clone())), k.b.with(|l| l.rows(inner.clone())));
            let binds = [self.reads("x", &x), self.reads("b", &b), self.writes("out", &k.out)];
            self.launch(&launch, &binds)?;
        }
        Ok(())
    }

    pub(super) fn gauss_newton_diagonal(&self, k: &GaussNewtonDiagonal<Array>) -> Result<()> {
        let outputs = k.hessian.shape()[1];
        let flops = 3.0 * (outputs * outputs) as f64;
        let launch = Launch::elements("gauss_newton_diagonal", k.out.shape(), flops)
            .param("outputs", outputs as u64);
        let binds = [
            self.reads("jacobian", &k.jacobian),
            self.reads("hessian", &k.hessian),
            self.writes("out", &k.out),
        ];
        self.launch(&launch, &binds)
    }

    pub(super) fn squared_gradient(&self, k: &SquaredGradient<Array>) -> Result<()> {
        let launch = Launch::elements("squared_gradient", k.out.shape(), 2.0);
        let binds = [
            self.reads("delta", &k.delta),
            self.reads("omega", &k.omega),
            self.writes("out", &k.out),
        ];
        self.launch(&launch, &binds)
    }

    pub(super) fn lower_triangle(&self, k: &LowerTriangle<Array>) -> Result<()> {
        let launch = Launch::elements("lower_triangle", k.out.shape(), 0.0);
        let binds = [self.reads("a", &k.a), self.writes("out", &k.out)];
        self.launch(&launch, &binds)
    }
}

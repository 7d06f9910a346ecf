//! The options of methods, from keywords.

use std::time::Duration;

use pyo3::conversion::FromPyObjectOwned;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use secondo::Curvature;

use crate::arguments::named;
use crate::error::invalid;

/// Options that are taken one by one; those that nobody takes are refused.
pub struct Options<'py> {
    left: Bound<'py, PyDict>,
    known: Vec<&'static str>,
}

impl<'py> Options<'py> {
    pub fn new(given: &Bound<'py, PyDict>) -> PyResult<Self> {
        Ok(Options { left: given.copy()?, known: Vec::new() })
    }

    /// The option of that name; None counts as not given.
    pub fn take<T: FromPyObjectOwned<'py>>(&mut self, name: &'static str) -> PyResult<Option<T>> {
        self.known.push(name);
        let Some(value) = self.left.get_item(name)? else {
            return Ok(None);
        };
        self.left.del_item(name)?;
        if value.is_none() {
            return Ok(None);
        }
        match value.extract::<T>() {
            Ok(value) => Ok(Some(value)),
            Err(_) => {
                let why = format!("{} is not what this option takes", value.repr()?);
                Err(invalid(self.left.py(), name, why))
            }
        }
    }

    /// Sets `target` to the option of that name, if it is given.
    pub fn set<T: FromPyObjectOwned<'py>>(
        &mut self,
        name: &'static str,
        target: &mut T,
    ) -> PyResult<()> {
        if let Some(value) = self.take(name)? {
            *target = value;
        }
        Ok(())
    }

    pub fn curvature(&mut self, target: &mut Curvature) -> PyResult<()> {
        if let Some(name) = self.take::<String>("curvature")? {
            *target = named(self.left.py(), &name)?;
        }
        Ok(())
    }

    pub fn limits(
        &mut self,
        max_iter: &mut usize,
        time_limit: &mut Option<Duration>,
    ) -> PyResult<()> {
        self.set("max_iter", max_iter)?;
        if let Some(seconds) = self.take::<f64>("time_limit")? {
            let limit = Duration::try_from_secs_f64(seconds);
            *time_limit = Some(limit.map_err(|e| {
                invalid(self.left.py(), "time_limit", format!("{seconds} seconds: {e}"))
            })?);
        }
        Ok(())
    }

    pub fn tolerances(&mut self, gtol: &mut f64, ftol: &mut f64, xtol: &mut f64) -> PyResult<()> {
        self.set("gtol", gtol)?;
        self.set("ftol", ftol)?;
        self.set("xtol", xtol)
    }

    pub fn radius(&mut self, initial: &mut f64, max: &mut f64, eta: &mut f64) -> PyResult<()> {
        self.set("initial_radius", initial)?;
        self.set("max_radius", max)?;
        self.set("eta", eta)
    }

    /// Refuses what is left.
    pub fn end(self, method: &str) -> PyResult<()> {
        let Some(name) = self.left.keys().iter().next() else {
            return Ok(());
        };
        let why = format!("{method} has no such option; it has {}", self.known.join(", "));
        Err(invalid(self.left.py(), &name.str()?.to_string(), why))
    }
}

//! A method's options, as a fit that is resumed compares them.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A method's name with those of its options that the path of a fit depends on.
///
/// A [`State`](super::State) holds those of its fit; it is refused where one differs. Limits, such as `max_iter`, are not
/// among them: they may change between a fit and its continuation. `Display` writes `NAME OPTION=VALUE …`, exact to the last
/// bit, and `FromStr` reads it.
///
/// ```
/// use secondo::train::Settings;
/// use secondo::{Method, TrustRegion};
/// let settings = TrustRegion::default().settings();
/// assert_eq!(settings.to_string().parse::<Settings>()?, settings);
/// let other = TrustRegion { gtol: 1e-6, ..TrustRegion::default() };
/// assert_ne!(other.settings(), settings);
/// let longer = TrustRegion { max_iter: 7, ..TrustRegion::default() };
/// assert_eq!(longer.settings(), settings);
/// # Ok::<(), secondo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    method: String,
    /// Names and values.
    options: Vec<(String, String)>,
}

/// The settings of a method from its options: those that are compared, and the limits, which may change.
///
/// Every field must stand in one of the lists, so that a new option cannot be forgotten.
macro_rules! settings {
    ($self:ident: $method:ident { $($option:ident),+ } but $($limit:ident),*) => {{
        let $method { $($option,)+ $($limit: _,)* } = $self;
        Settings::new($self.name())$(.with(stringify!($option), $option))+
    }};
}
pub(super) use settings;

impl Settings {
    /// The settings of a method without options. The name must have neither spaces nor `=`.
    pub fn new(method: impl Into<String>) -> Self {
        Settings { method: method.into(), options: Vec::new() }
    }

    /// The settings with one more option, by the value's `Debug` form, which for a number is exact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Debug) -> Self {
        let value = format!("{value:?}").replace(' ', "");
        self.options.push((name.into(), value));
        self
    }

    /// The settings with the options of another method besides.
    #[must_use]
    pub fn with_those_of(mut self, other: Settings) -> Self {
        self.options.extend(other.options);
        self
    }

    /// The value of an option, if there is one of that name.
    fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns how `self`, the settings of a state, differ from those of the method that is to go on; `None` if they do not.
    pub(super) fn difference(&self, needed: &Settings) -> Option<String> {
        if self.method != needed.method {
            let (there, here) = (&self.method, &needed.method);
            return Some(format!("it is one of '{there}', not of '{here}'"));
        }
        let mut all = needed.options.iter().chain(&self.options);
        let (name, _) = all.find(|(name, _)| self.option(name) != needed.option(name))?;
        let text = |settings: &Settings| settings.option(name).unwrap_or("not set").to_string();
        Some(format!("{name} is {} there and {} here", text(self), text(needed)))
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.method)?;
        (self.options.iter()).try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl FromStr for Settings {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split(' ');
        let mut settings = Settings::new(words.next().unwrap_or_default());
        for word in words {
            let Some((name, value)) = word.split_once('=') else {
                let why = format!(
                    "'{word}' is not of the form OPTION=VALUE; another version of secondo wrote it"
                );
                return Err(Error::invalid("settings", why));
            };
            settings.options.push((name.into(), value.into()));
        }
        Ok(settings)
    }
}

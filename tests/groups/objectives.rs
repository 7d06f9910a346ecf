//! Losses, penalties and units, those of users among them.

#[path = "../custom_objectives.rs"]
mod custom_objectives;

#[path = "../objectives.rs"]
mod objectives;

#[path = "../radial.rs"]
mod radial;

#[path = "../units.rs"]
mod units;

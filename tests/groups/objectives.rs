//! Losses, penalties and units, those of users among them.
// Each file of tests brings what it uses of tests/common.
#![allow(clippy::duplicate_mod)]

#[path = "../custom_objectives.rs"]
mod custom_objectives;

#[path = "../objectives.rs"]
mod objectives;

#[path = "../radial.rs"]
mod radial;

#[path = "../units.rs"]
mod units;

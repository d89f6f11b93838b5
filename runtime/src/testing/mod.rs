//! For tests, the user's as well as ours.

pub mod simulation;

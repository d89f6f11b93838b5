//! slotflow-runtime

pub mod error;

//! slotflow-runtime

pub mod config;
pub mod error;
pub mod machine;

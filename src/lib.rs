//! slotflow

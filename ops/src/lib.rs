//! slotflow-ops

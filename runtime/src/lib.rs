//! slotflow-runtime

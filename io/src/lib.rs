//! slotflow-io

//! Connectors without a broker, with real jobs between them: one program, as each takes seconds to link.

mod bridges;
mod files;
mod folder;
mod handles;
mod sockets;

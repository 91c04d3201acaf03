//! Workers with real sockets.

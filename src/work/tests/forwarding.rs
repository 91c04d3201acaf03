//! Workers that ask a server.

//! The tests of the load-test harness: they stand in its own files, and need no server.
#![allow(dead_code, reason = "its main is not run here")]

#[path = "../loadtest/main.rs"]
mod loadtest;

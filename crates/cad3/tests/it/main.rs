//! The codec: messages of running peers, test vectors of the Java libraries, and hostile input.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod data;
mod frames;
mod hostile;
mod properties;
mod reader;
mod values;
mod vectors;

//! The codec against what running peers sent and what the Java libraries made.

mod data;
mod frames;
mod reader;
mod rules;
mod vectors;

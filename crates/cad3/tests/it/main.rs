//! The codec against what running peers sent and what the Java libraries made, and against what nobody should send.

mod data;
mod frames;
mod hostile;
mod properties;
mod reader;
mod values;
mod vectors;

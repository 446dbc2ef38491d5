//! The codec: messages of running peers, test vectors of the Java libraries, and hostile input.

mod data;
mod frames;
mod hostile;
mod properties;
mod reader;
mod values;
mod vectors;

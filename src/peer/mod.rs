//! How to ask one peer: endpoints, messages, the two transports, and what a reply says.

pub mod endpoint;

//! (thin binary, being written)
fn main() {}

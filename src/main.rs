//! The command line of mqbench.
fn main() {}

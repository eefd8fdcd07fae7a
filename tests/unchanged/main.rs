//! What works in a container without remit works with it: each act free and under a profile, side
//! by side, with the same result and without an event. What stays refused, in the same places.

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each test binary uses its own part of it")]
mod support;

mod own;
mod queries;
mod side_by_side;
mod sockets;

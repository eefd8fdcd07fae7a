//! The shim: the container's ENTRYPOINT.

#![no_main]

remit::entry_point!(remit::shim::main);

//! The process table: the `programs` entry of each process, and how many processes there are.

#![forbid(unsafe_code)]

pub mod forks;
pub mod table;

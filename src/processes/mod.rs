//! The process table: what each process is, and how many processes there are.

#![forbid(unsafe_code)]

pub mod forks;
#[cfg(test)]
pub mod invented;
pub mod proc_fs;
pub mod programs;
pub mod table;

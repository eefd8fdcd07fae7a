//! The process table: what each process is, and how many processes there are.

pub mod forks;
#[cfg(test)]
pub mod invented;
pub mod proc_fs;
pub mod programs;
pub mod table;

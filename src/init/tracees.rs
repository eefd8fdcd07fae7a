//! State changes that the first thread passes to the tracing thread. The kernel reports a ptrace
//! stop of PID 1's own child to the tracer and, with SIGCHLD, to the first thread too (ptrace(2)).

/// Takes state changes of processes that may be traced.
pub trait Tracees: Send + Sync {
    /// A child has ended. It is not reaped yet, so no other process has its pid.
    fn ended(&self, pid: i32);
    /// A traced child has stopped: the signal, and the PTRACE_EVENT or 0.
    fn stopped(&self, pid: i32, signal: i32, event: i32);
    /// A traced process that is no child of PID 1 may have changed.
    fn changed(&self);
}

//! What a row of the table is.

/// A server in the shape of its official image, and the client that works on it.
#[derive(Clone, Copy)]
pub struct Server {
    /// The row's name.
    pub name: &'static str,
    /// What its image does, beyond starting the server.
    pub shape: &'static str,
    /// What the client does, for docs/servers.md.
    pub work: &'static str,
    /// `root/client/CLIENT.sh`.
    pub client: &'static str,
    /// The image's ENTRYPOINT and CMD.
    pub command: &'static [&'static str],
    /// The image's ENV.
    pub environment: &'static [(&'static str, &'static str)],
    /// More options of `docker run`: its USER, WORKDIR, STOPSIGNAL.
    pub options: &'static [&'static str],
    /// Whether the client has a reload.
    pub reloads: bool,
    /// The exit code after the stop, free as under `baseline`.
    pub ends: i32,
    /// Why it is not yet the same under `baseline`.
    pub fails: Option<Fails>,
}

/// What a row shows that gives the same results, with violations.
#[derive(Clone, Copy)]
pub struct Fails {
    /// The reason, for docs/servers.md.
    pub why: &'static str,
    /// What the violation has.
    pub event: &'static str,
}

/// A row says only what is its own.
pub const SERVER: Server = Server {
    name: "",
    shape: "",
    work: "",
    client: "",
    command: &[],
    environment: &[],
    options: &[],
    reloads: false,
    ends: 0,
    fails: None,
};

/// A server that works under `baseline`, and has violations all the same.
pub const fn alarms(why: &'static str, event: &'static str) -> Option<Fails> {
    Some(Fails { why, event })
}

//! The table of servers.

mod apps;
mod data;
mod network;
mod web;

use crate::compare::compare;
use crate::image;
use crate::server::Server;

/// All rows, in their order.
pub fn all() -> Vec<Server> {
    [web::ROWS, data::ROWS, apps::ROWS, network::ROWS].concat()
}

/// The row of this name.
pub fn named(name: &str) -> Server {
    all().into_iter().find(|server| server.name == name).expect("a row has the name")
}

/// The test of one row.
fn under_baseline(server: &Server) {
    if !image::can_run_servers() {
        return;
    }
    let found = compare(server, &[]);
    match server.fails {
        None => found.is_clean(),
        Some(fails) => found.fails(fails),
    }
}

/// One test for each row, and the table of them.
macro_rules! rows {
    ($($name:ident: $server:expr),+ $(,)?) => {
        /// The rows of this file.
        pub const ROWS: &[crate::server::Server] = &[$($server),+];

        $(
            #[test]
            fn $name() {
                crate::rows::under_baseline(&$server);
            }
        )+
    };
}
pub(crate) use rows;

//! placeholder
mod harness;
#[test]
fn x() { println!("{:?}", harness::run(&mut harness::shim(["--mode","off"]).arg(harness::probe()).arg("status"))); println!("{:?}", harness::run(harness::shim([harness::probe().to_str().unwrap(), "status"]).env("A","b"))); }

use super::*;

fn parse(args: &[&str], env: &[(&str, &str)]) -> Result<Options, String> {
    called("remit-init", args, env)
}

fn called(name: &str, args: &[&str], env: &[(&str, &str)]) -> Result<Options, String> {
    let mut args: Vec<OsString> = [name].iter().chain(args).map(OsString::from).collect();
    let lookup =
        |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
    let parsed = dialect(&mut args).and_then(|dialect| read(args, dialect, &lookup));
    match parsed {
        Ok(CommandLine::Run(options)) => Ok(*options),
        Ok(CommandLine::Print(text) | CommandLine::PrintError(text)) => Err(text),
        Ok(CommandLine::Doctor { json }) => Err(format!("doctor, json {json}")),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn options_end_at_the_command() {
    let options = parse(&["-sg", "-e", "143", "sh", "-c", "true", "--mode"], &[]).expect("read");
    assert!(options.subreaper && options.group);
    assert_eq!(options.remap, [143]);
    assert_eq!(options.command, ["sh", "-c", "true", "--mode"]);
    assert_eq!(parse(&["--", "-x"], &[]).expect("read").command, ["-x"]);
}

#[test]
fn a_flag_beats_the_environment() {
    let env = [("REMIT_MODE", "audit"), ("REMIT_PROFILE", "strict"), ("REMIT_EVENTS", "/var/log/e")];
    let options = parse(&["true"], &env).expect("read");
    assert_eq!(options.mode, Some((Mode::Audit, ModeSource::Environment)));
    assert_eq!(options.profile, Some("strict".into()));
    assert_eq!(options.level, Level::All);
    let options = parse(&["--mode", "off", "--profile=/p", "true"], &env).expect("read");
    assert_eq!(options.mode, Some((Mode::Off, ModeSource::Flag)));
    assert_eq!(options.profile, Some("/p".into()));
    assert!(parse(&["--mode", "off", "true"], &[("REMIT_MODE", "enforced")]).is_ok());
}

#[test]
fn what_is_wrong_is_named() {
    for (args, says) in [
        (&[][..], "no COMMAND"),
        (&["--mode", "enforced", "x"], "enforce, audit, learn or off"),
        (&["--grace", "8", "x"], "8s"),
        (&["-e", "256", "x"], "0 to 255"),
        (&["-e", "-1", "x"], "0 to 255"),
        (&["-p", "SIGFOO", "x"], "1 to 64"),
        (&["-p", "SIGTREM", "x"], "did you mean TERM?"),
        (&["-p", "65", "x"], "1 to 64"),
        (&["-r", "15", "x"], "TERM:QUIT"),
        (&["-r", "15:FOO", "x"], "`FOO` is no signal"),
        (&["-r", "0:15", "x"], "`0` is no signal"),
        (&["--drain", "soon", "x"], "--drain"),
        (&["--status", "STATUS", "x"], "--status"),
        (&["--keep-fd", "2", "x"], "`2` is no descriptor; expected a number from 3 on"),
        (&["--keep-fd", "-1", "x"], "from 3 on"),
        (&["--keep-fd", "99999999999", "x"], "from 3 on"),
        (&["--follow", "run/pid", "x"], "no absolute path"),
        (&["--frob", "x"], "--frob is no option; see --help"),
        (&["--porfile", "x"], "did you mean --profile?"),
        (&["-x"], "-x is no option"),
        (&["--as", "init", "x"], "unknown name `init`"),
        (&["--as"], "unknown name ``"),
        (&["-s", "--as", "tini", "x"], "first option"),
        (&["--doctor=yaml"], "text or json"),
        (&["--doctor"], "doctor, json false"),
        (&["--doctor=json", "x"], "doctor, json true"),
        (&["--profile"], "--profile"),
    ] {
        let error = parse(args, &[]).err().expect("refused");
        assert!(error.contains(says), "{args:?}: {error}");
    }
    assert_eq!(parse(&["-p", "KILL", "x"], &[]).expect("read").parent_death, Some(9));
}

#[test]
fn as_tini_it_takes_what_tini_takes() {
    let options = called("/sbin/docker-init", &["-vvgw", "-pSIGUSR1", "--", "sh", "-c"], &[]).expect("read");
    assert_eq!((options.dialect, options.verbosity, options.parent_death), (Dialect::Tini, 3, Some(10)));
    assert_eq!(options.command, ["sh", "-c"]);
    assert_eq!(called("tini", &["ls", "--", "-la"], &[]).expect("read").command, ["ls", "-la"]);
    let posix = [("POSIXLY_CORRECT", "1")];
    assert_eq!(called("tini", &["ls", "--", "-la"], &posix).expect("read").command, ["ls", "--", "-la"]);
    let inner = called("tini", &["sh", "-c", "x", "--", "y"], &[]).expect("read").command;
    assert_eq!(inner, ["sh", "-c", "x", "--", "y"]);
    assert_eq!(parse(&["ls", "--", "-la"], &[]).expect("read").command, ["ls", "--", "-la"]);
    assert_eq!(called("tini", &["x"], &[("TINI_VERBOSITY", "2x")]).expect("read").verbosity, 2);
    assert!(parse(&["x"], &[("TINI_VERBOSITY", "2x")]).is_err());
    let refused = called("tini", &["-r", "15:2", "x"], &[]).err().expect("refused");
    assert!(refused.starts_with("tini: invalid option -- 'r'\ntini (tini version 0.19.0"), "{refused}");
    let refused = called("tini", &["-e", "256", "x"], &[]).err();
    assert_eq!(refused.as_deref(), Some("Not a valid option for -e: 256"));
    let as_tini = parse(&["--as", "tini", "-s", "x"], &[]).expect("read");
    assert_eq!((as_tini.dialect, as_tini.subreaper), (Dialect::Tini, true));
}

#[test]
fn as_dumb_init_it_takes_what_dumb_init_takes() {
    let options = called("dumb-init", &["-vr", "15:2", "--rewrite=HUP:0", "x", "-c"], &[]).expect("read");
    assert_eq!((options.verbosity, options.terminal, options.group), (1, Terminal::Session, true));
    assert_eq!(options.rewrite, BTreeMap::from([(15, 2), (1, 0)]));
    let options = called("dumb-init", &["--sing", "x"], &[("TINI_SUBREAPER", "")]).expect("read");
    assert_eq!((options.terminal, options.group, options.subreaper), (Terminal::Shared, false, false));
    let without = [("DUMB_INIT_SETSID", "0"), ("DUMB_INIT_DEBUG", "1")];
    let options = called("dumb-init", &["x"], &without).expect("read");
    assert_eq!((options.terminal, options.verbosity), (Terminal::Shared, 1));
    for (args, says) in [
        (&["-r", "1:32", "x"][..], "is between 1 and 31."),
        (&["-r", "herp:derp", "x"], "is between 1 and 31."),
        (&["--yolo", "x"], "dumb-init: unrecognized option '--yolo'\n"),
        (&["-s", "x"], "dumb-init: invalid option -- 's'\n"),
        (&["-r"], "dumb-init: option requires an argument -- 'r'\n"),
        (&["-V"], "dumb-init v1.2.5\n"),
        (&[], "Usage: dumb-init [option] program [args]\n"),
    ] {
        let error = called("dumb-init", args, &[]).err().expect("refused");
        assert!(error.contains(says), "{args:?}: {error}");
    }
    assert_eq!(called("dumb-init", &["-r", "TERM:RTMIN+3", "x"], &[]).expect("read").rewrite[&15], 37);
}

#[test]
fn descriptors_to_keep_and_the_process_to_follow_are_named() {
    for name in ["remit-init", "tini", "dumb-init"] {
        let args = ["--keep-fd", "3", "--keep-fd=7", "--follow", "/run/app.pid", "--", "app"];
        let options = called(name, &args, &[]).expect("read");
        assert_eq!(
            (&*options.keep_fds, options.follow),
            (&[3, 7][..], Some("/run/app.pid".into())),
            "{name}"
        );
    }
    assert_eq!(parse(&["app"], &[]).expect("read").follow, None);
}

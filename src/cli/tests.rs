use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Command, String> {
    let arguments = std::iter::once("as112d").chain(line.split_whitespace());
    Cli::try_parse_from(arguments).map(Cli::into_command).map_err(|error| error.to_string())
}

#[test]
fn tree_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn run_is_what_a_bare_command_means() {
    for prefix in ["", "run ", "start "] {
        let line = format!(
            "{prefix}--listen as112-dname --listen [::1]:5300 --shards 2 --cpus 0-1 --datapath mmsg \
             --steer cpu --busy-poll 50 --dry-run --http off \
             --log-format json --log-file l --node n --zones z --config c"
        );
        let Command::Run(RunOptions { serve: options, dry_run: true }) = parse(&line).unwrap() else {
            panic!("{line}")
        };
        let flags = options.flags();
        assert_eq!(flags.listen.iter().map(|listen| listen.0.len()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(flags.shards.unwrap().to_string(), "2");
        assert_eq!(flags.cpus, Some(Cpus::List(vec![0, 1])));
        assert_eq!((flags.steer, flags.busy_poll.map(|micros| micros.0)), (Some(Steer::Cpu), Some(50)));
        assert_eq!(flags.datapath, Some(DatapathChoice::Mmsg));
        assert_eq!(flags.http, Some(HttpListen::Off));
        assert_eq!((flags.log_format, flags.log_file), (Some(log::Format::Json), Some("l".into())));
        assert_eq!((flags.node.unwrap().0.as_str(), flags.zones), ("n", Some("z".into())));
        assert_eq!(options.config.config, Some("c".into()));
    }
    assert!(matches!(parse(""), Ok(Command::Run(_))));
}

#[test]
fn every_command_takes_the_configuration() {
    for command in [
        "check",
        "config show",
        "doctor",
        "zones",
        "query example.com A",
        "explain example.com A",
        "rules check",
    ] {
        let options = match parse(&format!("{command} --config c --zones z --node n")).unwrap() {
            Command::Run(RunOptions { serve: options, .. })
            | Command::Check(CheckOptions { serve: options, .. }) => options.config,
            Command::Zones(options) => options.config,
            Command::Query(options) => options.config,
            Command::Explain(options) => options.config,
            Command::Rules(RulesCommand::Check(options)) => options.config,
            Command::Config(ConfigCommand::Show(options)) => options.serve.config,
            Command::Doctor(options) => options.serve.config,
            other => panic!("{command} is another command: {other:?}"),
        };
        assert_eq!(options.config, Some("c".into()), "{command}");
        let flags = options.flags();
        assert_eq!((flags.node.unwrap().0.as_str(), flags.zones), ("n", Some("z".into())), "{command}");
    }
}

/// What a running node is asked is asked of the node with that configuration.
#[test]
fn every_client_takes_the_configuration() {
    for command in [
        "status",
        "reload",
        "drain",
        "undrain",
        "upgrade",
        "shutdown",
        "verbosity info",
        "rules list",
        "cache show a",
        "cache purge a --subtree",
        "stats",
        "top",
        "site d",
        "pop",
        "pop nrt drain",
    ] {
        let node = match parse(&format!("{command} -c c --control p")).unwrap() {
            Command::Status(options)
            | Command::Drain(options)
            | Command::Undrain(options)
            | Command::Upgrade(options)
            | Command::Shutdown(options) => options.node,
            Command::Rules(RulesCommand::List(options)) => options.node,
            Command::Cache(CacheCommand::Show(options) | CacheCommand::Purge(options)) => {
                options.control.node
            }
            Command::Reload(options) => options.control.node,
            Command::Verbosity(options) => options.control.node,
            Command::Stats(options) => options.node,
            Command::Top(options) => options.node,
            Command::Site(options) => options.node,
            Command::Pop(options) => options.control.node,
            other => panic!("{command} is another command: {other:?}"),
        };
        assert_eq!((node.config, node.control), (Some("c".into()), Some("p".into())), "{command}");
    }
    for command in ["probe", "announce", "watch", "doctor", "check"] {
        assert!(parse(&format!("{command} -c c")).is_ok(), "{command}");
    }
}

/// What asks is one thing by two names; and a running node is asked at its usual socket, or at another.
#[test]
fn a_resolver_and_a_subnet_can_be_given() {
    let Ok(Command::Query(query)) = parse("query a A --resolver 192.0.2.1 --subnet 11.1.0.0/16") else {
        panic!("it is a query");
    };
    assert_eq!((query.from, query.subnet), ("192.0.2.1".parse().ok(), "11.1.0.0/16".parse().ok()));
    for (line, control) in [
        ("explain a A --resolver ::1", None),
        ("explain a A --control", Some(None)),
        ("explain a A --control p --json", Some(Some("p".into()))),
    ] {
        let Ok(Command::Explain(explain)) = parse(line) else { panic!("{line} explains") };
        assert_eq!(explain.control, control, "{line}");
    }
}

#[test]
fn wrong_values_say_what_to_write() {
    for (line, fragment) in [
        ("--listen 1.2.3", "`1.2.3` is not an address; give one such as 192.0.2.1"),
        ("--cpus 0,0", "CPU 0 is listed twice; list it once"),
        ("--shards none", "give 1 to 1024, or \"auto\""),
        ("--cpus nic:", "is not an interface name; give one that `ip link` lists"),
        ("--steer rss", "give \"auto\", \"off\", \"cpu\" or \"hash\""),
        ("--busy-poll 1s", "give a whole number from 0 to 1000"),
        ("check --dry-run", "unexpected argument '--dry-run'"),
        ("check --datapath xdp", "give \"auto\", \"io_uring\" or \"mmsg\""),
        ("--http 9112", "give one such as 127.0.0.1:9112 or [::1]:9112, or \"off\""),
        ("--log-format xml", "give \"text\" or \"json\""),
        ("--node ", "a value is required"),
        ("query example.com", "<TYPE>"),
        ("zones --format json", "possible values: zone"),
        ("probe --address 1.2.3", "`1.2.3` is not an address; give one such as 192.0.2.1"),
        ("probe --timeout 5", "`5` is not a time; give a number with ms, s, m, h or d"),
        ("addresses --apply --undo", "cannot be used with"),
        ("addresses as113", "possible values: as112-direct, as112-dname, as112"),
        ("query a A --class HS", "possible values: IN, CH"),
        ("query a A --live", "--why"),
        ("query a A --why --live --colo lis1", "cannot be used with"),
        ("explain a", "<TYPE>"),
        ("pop nrt", "<ACTION>"),
        ("pop nrt down", "possible values: drain, up, auto"),
        ("query a A --to as112", "`as112` is several addresses; give one of them"),
    ] {
        let message = parse(line).unwrap_err();
        assert!(message.contains(fragment), "{line}: {message}");
    }
}

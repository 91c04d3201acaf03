//! Man pages: one for the program, one for each command (section 8), and one for the configuration file (5).
//! Options are those of the command line's tree, keys those of the reference; what neither knows is here.

use std::fmt::Write as _;

use as112d::cli::Cli;
use clap::{ArgAction, Command, CommandFactory as _};

use crate::common::skip::skipped;
use crate::configuration::{Entry, Section, options, sections, taken};

/// A command, what it does beyond the line that `--help` has, and what its exit status means.
struct Page {
    command: &'static str,
    description: &'static str,
    exit: &'static [(u8, &'static str)],
    see_also: &'static [&'static str],
}

const DONE: (u8, &str) = (0, "Success.");
const FAILED: (u8, &str) = (1, "Failure; standard error has the reason, and what to do about it.");
const USAGE: (u8, &str) = (2, "Usage error.");
const NOBODY: (u8, &str) = (3, "No node answers.");
const MISTAKES: (u8, &str) =
    (1, "The configuration or a zone has mistakes; standard error lists all of them.");

const ALONE: &[(u8, &str)] = &[DONE, FAILED, USAGE];
const LOADING: &[(u8, &str)] = &[DONE, MISTAKES, USAGE];
const ASKING: &[(u8, &str)] = &[DONE, FAILED, USAGE, NOBODY];

const PAGES: &[Page] = &[
    Page {
        command: "",
        description: "\
`as112d` is an authoritative name server for AS112 nodes. It answers the zones of RFC 7534 and RFC 7535,
home.arpa, service.arpa and zones of the operator's own over UDP and TCP, and counts what it is asked.
The zones are built in: without a configuration it serves them on 127.0.0.1:5300 and [::1]:5300.

Without a command it serves, like `as112d run`. Other commands check a configuration or the host, or
talk to a running node over its control socket or HTTP.",
        exit: &[
            (0, "Success: the node stopped as it was asked to, or the command did its work."),
            (1, "Failure, or refusal to start; standard error has the reason, and what to do about it."),
            USAGE,
            (3, "No node answers (commands that talk to a running node)."),
        ],
        see_also: &["as112d-check", "as112d-doctor", "as112d-announce"],
    },
    Page {
        command: "run",
        description: "\
Serves in the foreground until SIGTERM or SIGINT. It refuses to start if anything in the configuration
or a zone file is wrong, and lists all mistakes. Once its sockets are open it drops its privileges. What
it logs at the start says what it serves, how, and where. The SIGNALS are those of `as112d`(8).",
        exit: &[
            (0, "Stopped as it was asked to."),
            (1, "Refused to start, or failed; standard error has the reason."),
            USAGE,
        ],
        see_also: &["as112d-check", "as112d-doctor"],
    },
    Page {
        command: "check",
        description: "\
Loads the configuration, zone files and databases as `as112d run` would, and prints every mistake with
its file, line and column, or what would be served and the most memory that it can use. It opens no port
and changes nothing.",
        exit: LOADING,
        see_also: &["as112d-reload", "as112d-doctor"],
    },
    Page {
        command: "config",
        description: "\
`as112d config init` writes a first configuration, `as112d config show` prints the one that is in effect.",
        exit: ALONE,
        see_also: &["as112d-config-init", "as112d-config-show"],
    },
    Page {
        command: "config init",
        description: "\
Writes a commented configuration file with what the options say, and prints the next steps. A file that
exists is never overwritten. Without a file name the configuration goes to standard output.",
        exit: ALONE,
        see_also: &["as112d-check", "as112d-config-show"],
    },
    Page {
        command: "config show",
        description: "\
Prints a configuration file with the values from the file and the command line. With `--effective` it
has every key, with `--origin` each line says where its value came from. The output is a valid
configuration file.",
        exit: LOADING,
        see_also: &["as112d-check"],
    },
    Page {
        command: "doctor",
        description: "\
Checks the kernel, io_uring, socket buffers, NIC queues, connection tracking, addresses, routes, the
clock, limits, and the running node if there is one. It prints a line for each; those that begin with
`do` say what to change. It changes nothing. With `--bundle` it writes everything that a bug report
needs to one text file; read it before you send it.",
        exit: &[(0, "Nothing needs to be done."), (1, "Something needs to be done, or it failed."), USAGE],
        see_also: &["as112d-check", "as112d-status"],
    },
    Page {
        command: "zones",
        description: "\
Prints the zones that are built in and those of the configuration, as zone files.",
        exit: LOADING,
        see_also: &["as112d-query"],
    },
    Page {
        command: "query",
        description: "\
Answers a query from the zones that `as112d run` would serve, without a network or a running node, and
prints the reply. It shows what a change of the configuration or of a zone file would answer.

With `--why` it prints the way of the query instead: each rule that is asked in each phase and the term that
decides, who would be asked, and what the client would get. With `--live` the running node tells that from
what it serves now; without `--from` the query is then sent to it once, and its reply is printed.

What the cache and servers would say is supposed: that nothing is kept and that servers answer NOERROR,
unless `--cache`, `--outcome`, `--rcode` and `--rtt` say something else. With `--batch` it tells the way of
each query of a file, whose lines are a name, a type and options; with `--json` as an object in one line,
for programs.",
        exit: &[DONE, FAILED, USAGE, (3, "With `--live`: no node answers.")],
        see_also: &["as112d-zones", "as112d-probe", "as112d-rules"],
    },
    Page {
        command: "rules",
        description: "\
`as112d rules check` checks the rules and routes of a configuration, `as112d rules list` lists those of a
running node.",
        exit: ALONE,
        see_also: &["as112d-rules-check", "as112d-rules-list", "as112d-query"],
    },
    Page {
        command: "rules check",
        description: "\
Compiles the rules and routes as `as112d run` would, or the files that are given in the place of the rules,
and prints where each is asked and what it does; rules that can never be true on this node are told with
the reason.",
        exit: &[DONE, (1, "There are mistakes; standard error lists all of them."), USAGE],
        see_also: &["as112d-check", "as112d-rules-list"],
    },
    Page {
        command: "rules list",
        description: "\
Asks a running node over its control socket and prints its rules and routes in their order: phase, state,
how often each has matched, or would have with `dry-run`, what it does, and where it stands.",
        exit: ASKING,
        see_also: &["as112d-rules-check", "as112d-query"],
    },
    Page {
        command: "cache",
        description: "\
`as112d cache show` shows what the cache of a running node has of a name, `as112d cache purge` removes it.",
        exit: ALONE,
        see_also: &["as112d-cache-show", "as112d-cache-purge"],
    },
    Page {
        command: "cache show",
        description: "\
Asks a running node over its control socket and prints a line for each response that it keeps of a name;
with `--subtree` of the names below it, too, up to a thousand of each worker.",
        exit: ASKING,
        see_also: &["as112d-cache-purge"],
    },
    Page {
        command: "cache purge",
        description: "\
Has a running node forget what it keeps of a name; with `--subtree` of the names below it, too. The next
query for it is asked of the servers again.",
        exit: ASKING,
        see_also: &["as112d-cache-show"],
    },
    Page {
        command: "stats",
        description: "\
Asks a running node over HTTP and prints its counters on one screen. With `--watch` it repeats, and
shows rates. Where the node serves HTTP it tells over its control socket.",
        exit: ASKING,
        see_also: &["as112d-top", "as112d-status"],
    },
    Page {
        command: "top",
        description: "\
Asks a running node over HTTP, again and again, and shows queries a second, their shares, the balance of
the shards, service times and drops. `q` quits, `p` pauses, `+` and `-` change the interval. If the node
goes away it waits for it.",
        exit: ASKING,
        see_also: &["as112d-stats"],
    },
    Page {
        command: "site",
        description: "\
Fetches the public page of a running node over HTTP and writes it to a directory, each file atomically.
The files link to one another by relative names: any web server can publish them, and they work from
disk. Run it from cron.",
        exit: ASKING,
        see_also: &["as112d-stats"],
    },
    Page {
        command: "probe",
        description: "\
Sends real queries over UDP and TCP to each address: for an SOA record, for a name that does not exist,
and for the identity of the node. It checks the response code, the AA flag and the answer, and prints a
line for each address. Without addresses it asks the running node what it listens on. It is made for
health checkers.",
        exit: &[(0, "Every address answers as it should."), (1, "At least one does not."), USAGE],
        see_also: &["as112d-announce", "as112d-addresses"],
    },
    Page {
        command: "resolver",
        description: "\
Resolves names from the root on, for routes and rules that `resolve`: a recursive resolver with validation,
in a process of its own. The node starts it if [resolver] has `enabled = true`, starts it again when it has
ended, and ends it with itself. Its memory is limited, its system calls are filtered, and it opens no files
but its configuration and hints.\n\
\n\
A file of hints is one as IANA publishes it: NS records of the root, and the addresses of the servers. If
the servers are not those of the Internet, only what its DNSKEY records sign is validated, and servers may
have private addresses.",
        exit: &[(0, "The node that started it has ended."), (1, "It cannot resolve."), USAGE],
        see_also: &["as112d-run"],
    },
    Page {
        command: "announce",
        description: "\
Probes every service address twice a second, and has a router announce each prefix while all its
addresses answer. It withdraws a prefix when an address fails, and all of them when the node drains,
stops, crashes or hangs, and when it is stopped itself. It runs in the foreground, apart from the node,
as the unit as112d-announce.service. The keys of `[announce]` in `as112d.toml`(5) choose the router and
the timing.",
        exit: ALONE,
        see_also: &["as112d-probe", "as112d-addresses", "as112d-drain"],
    },
    Page {
        command: "addresses",
        description: "\
Prints the `ip`(8) commands that add the eight service addresses of AS112 to this host, or runs them.
The unit as112d-addresses.service does so at each boot.",
        exit: &[DONE, (1, "A command failed; with --check, an address is missing."), USAGE],
        see_also: &["as112d-probe"],
    },
    Page {
        command: "status",
        description: "\
Asks a running node over its control socket and prints its version, state, configuration, rates and
drops. After a reload that failed it lists the mistakes.",
        exit: ASKING,
        see_also: &["as112d-stats", "as112d-reload"],
    },
    Page {
        command: "reload",
        description: "\
Has a running node read its configuration and zone files again, and returns once every thread serves the
new ones. If there is any mistake the node keeps what it has, and the mistakes are printed. What cannot
change without a restart is listed. The log file is reopened.",
        exit: &[
            (0, "The new configuration is served."),
            (1, "There are mistakes; the old configuration is still served."),
            USAGE,
            NOBODY,
        ],
        see_also: &["as112d-check", "as112d-upgrade"],
    },
    Page {
        command: "drain",
        description: "\
Takes a running node out of service: it reports not ready, `as112d announce` withdraws its routes, and
it answers the queries that still arrive. It returns once queries have stopped, or after three times
`drain_time`.",
        exit: ASKING,
        see_also: &["as112d-undrain", "as112d-announce"],
    },
    Page {
        command: "undrain",
        description: "\
Returns a drained node to service: it reports ready, and its routes are announced again at once.",
        exit: ASKING,
        see_also: &["as112d-drain"],
    },
    Page {
        command: "upgrade",
        description: "\
Replaces the process of a running node with the program and configuration that are now on disk. The new
process takes over the sockets, the history and the totals, and no query is lost. The command returns
once it serves. If anything goes wrong the old process keeps serving, and the reason is printed.",
        exit: &[
            (0, "The new process serves."),
            (1, "The old process still serves; standard error has the reason."),
            USAGE,
            NOBODY,
        ],
        see_also: &["as112d-check", "as112d-reload"],
    },
    Page {
        command: "shutdown",
        description: "\
Drains a running node and stops it, like SIGTERM. It returns once the node has stopped.",
        exit: ASKING,
        see_also: &["as112d-drain"],
    },
    Page {
        command: "verbosity",
        description: "\
Changes the log level of a running node, until it stops; `[log] level` is the lasting setting.",
        exit: ASKING,
        see_also: &["as112d-status"],
    },
];

/// What the tree does not know, for the page of the program.
const SIGNALS: [(&str, &str); 4] = [
    ("SIGTERM, SIGINT", "Drain, then stop. A second one stops at once."),
    ("SIGHUP", "Reload the configuration and the zones, and reopen the log file."),
    ("SIGUSR1", "Write the statistics to the log."),
    ("SIGUSR2", "Upgrade: start the program that is now on disk, and hand over the sockets."),
];

const FILES: [(&str, &str); 4] = [
    ("/etc/as112d/as112d.toml", "The configuration of the packaged service."),
    ("/run/as112d/control", "The control socket of the packaged service."),
    ("/var/lib/as112d/history.sqlite", "The history of the packaged service."),
    ("/usr/share/doc/as112d/", "The documents, with examples of routers, dashboards and alerts."),
];

/// The text as roff has it: literal, with what stands in backquotes in bold.
fn roff(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with(['.', '\'']) {
            out.push_str("\\&");
        }
        for (number, piece) in line.split('`').enumerate() {
            let piece = piece.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
            out += &if number % 2 == 1 { format!("\\fB{piece}\\fR") } else { piece };
        }
        out.push('\n');
    }
    out.replace("\n\n", "\n.PP\n")
}

fn heading(out: &mut String, name: &str) {
    writeln!(out, ".SH \"{name}\"").expect("a String takes it");
}

/// A term in bold, and what it means.
fn item(out: &mut String, term: &str, text: &str) {
    write!(out, ".TP\n.B {}{}", roff(term), roff(text)).expect("a String takes it");
}

fn see_also<'a>(out: &mut String, pages: impl Iterator<Item = (&'a str, u8)>) {
    heading(out, "SEE ALSO");
    let pages: Vec<String> =
        pages.map(|(page, section)| format!(".BR {} ({section})", page.replace('-', "\\-"))).collect();
    *out += &pages.join(" ,\n");
    out.push('\n');
}

/// `name \- what it is`, as apropos(1) reads it.
fn name(out: &mut String, name: &str, about: &str) {
    heading(out, "NAME");
    let mut letters = about.trim_end_matches('.').chars();
    let first = letters.next().expect("it says something");
    // A sentence begins with a capital, and so does an abbreviation.
    let is_sentence = letters.clone().next().is_some_and(|second| !second.is_uppercase());
    let first = if is_sentence { first.to_ascii_lowercase() } else { first };
    write!(out, "{} \\- {}", name.replace('-', "\\-"), roff(&format!("{first}{}", letters.as_str())))
        .expect("a String takes it");
}

fn synopsis(out: &mut String, command: &Command, words: &str) {
    heading(out, "SYNOPSIS");
    // Without hyphens and without filling to the right edge.
    write!(out, ".nh\n.ad l\n.B {}", roff(words)).expect("a String takes it");
    let (free, named): (Vec<_>, Vec<_>) = command
        .get_arguments()
        .filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
        .partition(|argument| argument.is_positional());
    for argument in named.into_iter().chain(free) {
        let values: Vec<_> = argument.get_value_names().into_iter().flatten().collect();
        let takes = argument.get_action().takes_values();
        let value = if takes {
            values.iter().map(|value| value.as_str()).collect::<Vec<_>>().join(" ")
        } else {
            String::new()
        };
        let value = if value.is_empty() { value } else { format!("\\fI{}\\fR", value.replace('-', "\\-")) };
        let text = match argument.get_long() {
            Some(long) => format!("\\fB\\-\\-{}\\fR\\~{value}", long.replace('-', "\\-"))
                .trim_end_matches("\\~")
                .to_owned(),
            None => value,
        };
        let more = if matches!(argument.get_action(), ArgAction::Append) { "\\~...\\&" } else { "" };
        let line =
            if argument.is_required_set() { format!("{text}{more}") } else { format!("[{text}]{more}") };
        writeln!(out, "{line}").expect("a String takes it");
    }
    if command.has_subcommands() {
        writeln!(out, ".br\n.B {}\\fICOMMAND\\fR [\\fIOPTION\\fR ...]", roff(words).replace('\n', " "))
            .expect("a String takes it");
    }
    out.push_str(".ad b\n.hy\n");
}

/// The sections on options as clap_mangen makes them.
fn arguments(command: &Command) -> String {
    let mut made = Vec::new();
    clap_mangen::Man::new(command.clone()).render_options_section(&mut made).expect("a Vec takes it");
    let made = String::from_utf8(made).expect("pages are text");
    // Its head is written once, and values stand without brackets, as in the synopsis.
    let made = made.replace(".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n", "").replace("\\*(Aq", "\\(aq");
    made.replace("\\fI<", "\\fI").replace(">\\fR", "\\fR")
}

fn title(name: &str, section: u8) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        ".TH \"{}\" \"{section}\" \"\" \"as112d {version}\" \"as112d manual\"\n",
        name.to_uppercase().replace('-', "\\-")
    )
}

fn page(Page { command, description, exit, see_also: others }: &Page) -> (String, String) {
    let mut tree = Cli::command();
    tree.build();
    let mut found = &tree;
    for word in command.split_whitespace() {
        found = found.find_subcommand(word).unwrap_or_else(|| panic!("no command is configured {command}"));
    }
    let words = format!("as112d {command}").trim_end().to_owned();
    let file = words.replace(' ', "-");
    let mut out = title(&file, 8);
    name(&mut out, &file, &found.get_about().expect("every command says what it does").to_string());
    synopsis(&mut out, found, &words);
    heading(&mut out, "DESCRIPTION");
    out += &roff(description);
    out += &arguments(found);
    if found.has_subcommands() {
        heading(&mut out, "COMMANDS");
        for below in found.get_subcommands().filter(|below| below.get_name() != "help") {
            let page = format!("{file}-{}", below.get_name()).replace('-', "\\-");
            let about = below.get_about().expect("it has one").to_string();
            write!(out, ".TP\n.BR {page} (8)\n{}", roff(&about)).expect("a String takes it");
        }
    }
    heading(&mut out, "EXIT STATUS");
    for (code, meaning) in *exit {
        item(&mut out, &code.to_string(), meaning);
    }
    let is_main = command.is_empty();
    if is_main {
        heading(&mut out, "SIGNALS");
        SIGNALS.iter().for_each(|(signal, does)| item(&mut out, signal, does));
        heading(&mut out, "FILES");
        FILES.iter().for_each(|(file, is)| item(&mut out, file, is));
        heading(&mut out, "EXAMPLES");
        let examples = found.get_after_help().expect("there are examples").to_string();
        let examples = examples.lines().skip(1).map(str::trim_start).collect::<Vec<_>>().join("\n");
        write!(out, ".nf\n{}.fi\n", roff(&examples)).expect("a String takes it");
    }
    let main = if is_main { None } else { Some(("as112d", 8)) };
    let others = others.iter().map(|other| (*other, 8));
    see_also(&mut out, others.chain(main).chain([("as112d.toml", 5)]));
    if is_main {
        out.push_str(".PP\nRFC 7534, RFC 7535\n");
    }
    (format!("{file}.8"), out)
}

const CONFIGURATION: &str = "\
`as112d` reads its configuration from the TOML file that `--config` names; there is no default file, and
no key is required. Command-line options override the file. Relative paths start at its directory. Sizes
are written like \"8MiB\", times like \"500ms\", \"5s\" or \"10m\".

`as112d check` reports every mistake with its line and column, `as112d config show --effective --origin`
shows what is in effect. `as112d reload` has a running node read the file again; it names the keys that
need a restart.";

fn key_and_value(line: &'static str) -> (&'static str, &'static str) {
    line.split_once(" = ").expect("a key has a value")
}

/// as112d.toml(5): the reference, as a man page.
fn configuration() -> (String, String) {
    let mut out = title("as112d.toml", 5);
    name(&mut out, "as112d.toml", "configuration file of as112d");
    heading(&mut out, "DESCRIPTION");
    out += &roff(CONFIGURATION);
    let options = options();
    for Section { head, entries } in sections() {
        heading(&mut out, head);
        for (number, Entry { text, keys }) in entries.into_iter().enumerate() {
            if keys.is_empty() {
                out.push_str(if number == 0 { "" } else { ".PP\n" });
            }
            // Keys that share a text stand above it together.
            for (number, (line, _)) in keys.iter().enumerate() {
                let (macro_name, key) = (if number == 0 { "TP" } else { "TQ" }, key_and_value(line).0);
                writeln!(out, ".{macro_name}\n.B {key}").expect("a String takes it");
            }
            out += &roff(text.trim_end());
            for (line, is_default) in &keys {
                let (key, value) = key_and_value(line);
                let shown = if *is_default { "Default" } else { "Example" };
                let option = options.iter().find(|(section, of, _)| section == head && of == key);
                let option = option.map_or_else(String::new, |(.., option)| format!(" Option: `{option}`."));
                let of = if keys.len() > 1 { format!("`{key}`") } else { "Value".to_owned() };
                let facts = format!("{of}: {}. {shown}: {value}.{option}", taken(head, key));
                write!(out, ".br\n{}", roff(&facts)).expect("a String takes it");
            }
        }
    }
    heading(&mut out, "FILES");
    item(&mut out, FILES[0].0, FILES[0].1);
    item(&mut out, "/usr/share/doc/as112d/docs/examples/as112d.toml", "Every key, at its default.");
    heading(&mut out, "EXAMPLES");
    out.push_str(".nf\n[server]\nlisten = [\"as112\"]\n\n[identity]\nnode = \"as112\\-1.example.net\"\n");
    out.push_str("facility = \"Example Internet Exchange\"\nlocation = \"Lisbon, Portugal\"\n.fi\n");
    see_also(&mut out, [("as112d", 8), ("as112d-check", 8), ("as112d-config-show", 8)].into_iter());
    ("as112d.toml.5".to_owned(), out)
}

/// The names of all commands of the tree: "", "run", "config", "config show" ...
fn commands(command: &Command, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        commands(below, format!("{path} {}", below.get_name()).trim_start(), found);
    }
}

#[test]
fn every_command_has_a_page() {
    let mut all = Vec::new();
    commands(&Cli::command(), "", &mut all);
    let pages: Vec<&str> = PAGES.iter().map(|page| page.command).collect();
    assert!(all.len() > 15 && all.iter().all(|command| pages.contains(&command.as_str())), "{all:?}");
    assert_eq!(all.len(), pages.len(), "pages without a command");
}

#[test]
fn man_pages_are_those_of_the_command_line() {
    let mut pages: Vec<(String, String)> = PAGES.iter().map(page).collect();
    pages.push(configuration());
    super::check_folder("packaging/man", &pages);
}

/// groff has nothing to complain of, and every page has the sections that a reader looks for.
#[test]
fn man_pages_are_sound() {
    let mut pages: Vec<(String, String)> = PAGES.iter().map(page).collect();
    pages.push(configuration());
    let directory = tempfile::tempdir().expect("a directory");
    for (file, text) in pages {
        for section in ["NAME", "DESCRIPTION", "SEE ALSO"] {
            assert!(text.contains(&format!(".SH \"{section}\"\n")), "{file} lacks {section}");
        }
        assert!(file.ends_with(".5") || text.contains(".SH \"EXIT STATUS\"\n"), "{file}");
        let path = directory.path().join(&file);
        std::fs::write(&path, text).expect("written");
        let groff = ["-man", "-ww", "-Tutf8", "-z"];
        match std::process::Command::new("groff").args(groff).arg(&path).output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success() && said.is_empty(), "{file}: {said}");
            }
            Err(_) => skipped("groff is missing (Debian package groff-base)"),
        }
    }
}

//! What man pages say of each command that the command line itself does not know.

/// A command, what it does beyond the line that `--help` has, and what its exit status means.
pub struct Page {
    pub command: &'static str,
    pub description: &'static str,
    pub exit: &'static [(u8, &'static str)],
    pub see_also: &'static [&'static str],
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

pub const PAGES: &[Page] = &[
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
        command: "apps",
        description: "\
`as112d apps check` checks applications, `as112d apps list` lists those of a running node, `as112d apps try`
asks one about a query, `as112d apps new` begins one.",
        exit: ALONE,
        see_also: &["as112d-apps-check", "as112d-apps-list", "as112d-apps-try", "as112d-apps-new"],
    },
    Page {
        command: "apps check",
        description: "\
Loads the applications as `as112d run` would, or the one in the directory that is given: reads manifests,
checks modules, and starts each once on trial. Prints which queries each takes, what it may
do, and its limits.",
        exit: &[DONE, (1, "There are mistakes; standard error lists all of them."), USAGE],
        see_also: &["as112d-check", "as112d-apps-try"],
    },
    Page {
        command: "apps list",
        description: "\
Asks a running node over its control socket and prints its applications in their order: state, memory, queries
that each holds, how often it was called, traps, the beginning of its module's SHA-256, and its verdicts.",
        exit: ASKING,
        see_also: &["as112d-apps-check", "as112d-rules-list"],
    },
    Page {
        command: "apps try",
        description: "\
Loads an application and shows it one query, without a node and without a network. Prints whether a node would
ask it and why, its verdict, its reply, what it wants of others, and how much of its time it took. What it
logs goes to standard error.",
        exit: &[DONE, (1, "The application or the query has mistakes; standard error lists them."), USAGE],
        see_also: &["as112d-apps-check", "as112d-query"],
    },
    Page {
        command: "apps new",
        description: "\
Writes a directory with an application in Rust, its manifest, and the SDK that belongs to this program, and
prints the commands that build it and try it.",
        exit: &[DONE, (1, "The name cannot be one, or the directory is there already."), USAGE],
        see_also: &["as112d-apps-check", "as112d-apps-try"],
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
        command: "explain",
        description: "\
Answers a query as the node would, without using the network, and says why: which layers of the map were
asked, which one decided (marked with `>`), what would decide without it, which PoPs are up, and for whom the
answer holds: SCOPE, and the network that keeps it from being larger. The files that the map names are read
for it. Without --control all PoPs are taken to be up.\n\
\n\
A client subnet that can be used is looked up in networks, places, AS, country, continent and the nearest
PoPs; else the resolver is, by hand, in what was learned, and in those; else the default decides.",
        exit: ASKING,
        see_also: &["as112d-query", "as112d-pop"],
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
        command: "learn",
        description: "\
Reads what nodes have observed by beacons, decides which PoP is best for the users of each resolver and for
places, and writes the files that `learned` and `places` of a `[[map]]` in `as112d.toml`(5) name. It runs in
the foreground, apart from the node, and learns every hour; with --once it learns once. The same
observations, state and time make the same files.",
        exit: ALONE,
        see_also: &["as112d-reload", "as112d-explain"],
    },
    Page {
        command: "watch",
        description: "\
Probes the PoPs of `[[pop]]` over HTTP or TCP, or reads the file that says which are up, and tells the
running node over its control socket. Answers follow at once, and no map is read again. Of a PoP nothing is
said before `rise` good probes or `fall` failed ones. It runs in the foreground, apart from the node, as the
unit as112d-watch.service; when it ends the node keeps what it was told last. SIGHUP has it read the
configuration again.\n\
\n\
A file of health has a line such as `nrt down` for each PoP that is down; one without a line is up. Write
another file and rename it.",
        exit: ALONE,
        see_also: &["as112d-pop", "as112d-run"],
    },
    Page {
        command: "pop",
        description: "\
Shows which PoPs the running node takes for up, since when, and who says so. With a name and `drain` nobody
is sent to that PoP any more; with `up` it counts as up whatever its probes say; with `auto` they decide
again. Such an order lasts over reloads and upgrades, but not over a restart. Of a list the first PoP that is
up is given; if none is, as if all were.",
        exit: ASKING,
        see_also: &["as112d-watch", "as112d-explain"],
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

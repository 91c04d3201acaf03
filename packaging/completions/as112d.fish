# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_as112d_global_optspecs
    string join \n c/config= zones= node= l/listen= shards= cpus= steer= busy-poll= datapath= http= http-public= xdp= log-format= log-file= control= dry-run h/help V/version
end

function __fish_as112d_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_as112d_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_as112d_using_subcommand
    set -l cmd (__fish_as112d_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c as112d -n "__fish_as112d_needs_command" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_needs_command" -l zones -d 'A directory of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_needs_command" -l node -d 'The node\'s name. Default: the host\'s name' -r
complete -c as112d -n "__fish_as112d_needs_command" -s l -l listen -d 'Address to listen on; repeatable. Default port: 53. Names: as112-direct, as112-dname, as112 (both)' -r
complete -c as112d -n "__fish_as112d_needs_command" -l shards -d 'Number of threads that answer, or auto for one per CPU' -r
complete -c as112d -n "__fish_as112d_needs_command" -l cpus -d 'CPUs to pin shards to: 0-7,16-23; nic:IFACE, those its queues interrupt; node:N, a NUMA node; or physical, one thread of each core' -r
complete -c as112d -n "__fish_as112d_needs_command" -l steer -d 'Which shard gets a query: auto, off, cpu (the one that received it), hash (by the NIC\'s hash)' -r
complete -c as112d -n "__fish_as112d_needs_command" -l busy-poll -d 'How long a shard polls the NIC before it sleeps, 0 to 1000' -r
complete -c as112d -n "__fish_as112d_needs_command" -l datapath -d 'How to receive and send: auto, io_uring or mmsg' -r
complete -c as112d -n "__fish_as112d_needs_command" -l http -d 'Address for the page, metrics and health over HTTP, or off. Default: 127.0.0.1:9112 if it is free' -r
complete -c as112d -n "__fish_as112d_needs_command" -l http-public -d 'Address for the public page alone, for everybody or a proxy, or off. Default: off' -r
complete -c as112d -n "__fish_as112d_needs_command" -l xdp -d 'Answer in the driver of this interface where possible (XDP); repeatable' -r
complete -c as112d -n "__fish_as112d_needs_command" -l log-format -d 'Log format: text or json' -r
complete -c as112d -n "__fish_as112d_needs_command" -l log-file -d 'Log file. Default: standard error' -r -F
complete -c as112d -n "__fish_as112d_needs_command" -l control -d 'Control socket, or off. Default: /run/as112d/control, or as112d/control in $XDG_RUNTIME_DIR, if it is free' -r
complete -c as112d -n "__fish_as112d_needs_command" -l dry-run -d 'Print where each shard would run, and why; open no socket'
complete -c as112d -n "__fish_as112d_needs_command" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_needs_command" -s V -l version -d 'Print version'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "run" -d 'Serve until SIGTERM or SIGINT (the default)'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "check" -d 'Check configuration and zones: report every error, or what would be served'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "config" -d 'Write a first configuration, or show the one in effect'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "doctor" -d 'Check this host and say what to change'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "zones" -d 'Print the zones that `run` would serve'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "query" -d 'Answer one query without using the network, and print the reply or why it is that'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "explain" -d 'Explain which PoP a client gets, and why'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "rules" -d 'Check rules and routes, or list those of a running node'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "apps" -d 'Check, list, try or begin applications: guests in WebAssembly'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "cache" -d 'Show or purge what the cache of a running node has of a name'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "stats" -d 'Print the statistics of a running node'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "top" -d 'Watch a running node live, on a terminal'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "site" -d 'Write the public page of a running node to a directory, as files'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "probe" -d 'Send test queries to addresses: exit status 0 if all answer as they should, else 1'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "announce" -d 'Have a router announce the prefixes while the node answers'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "learn" -d 'Learn from beacons which PoP is best for the users of each resolver, and write maps'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "resolver" -d 'Resolve for a node: a recursive resolver on a loopback address, which the node starts itself'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "addresses" -d 'Print or run the commands that add the service addresses to this host'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "status" -d 'Show the state of a running node'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "reload" -d 'Read configuration and zones again'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "drain" -d 'Take a running node out of service: withdraw its routes, answer what still arrives'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "undrain" -d 'Return a drained node to service'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "upgrade" -d 'Replace a running node with the program and configuration now on disk, losing no query'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "shutdown" -d 'Drain a running node, then stop it'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "pop" -d 'Show which PoPs are up, or drain one, or leave it to its probes again'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "watch" -d 'Probe PoPs, and tell the running node which are up'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "verbosity" -d 'Set the log level of a running node, until it stops'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c as112d -n "__fish_as112d_using_subcommand run" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand run" -l zones -d 'A directory of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand run" -l node -d 'The node\'s name. Default: the host\'s name' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -s l -l listen -d 'Address to listen on; repeatable. Default port: 53. Names: as112-direct, as112-dname, as112 (both)' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l shards -d 'Number of threads that answer, or auto for one per CPU' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l cpus -d 'CPUs to pin shards to: 0-7,16-23; nic:IFACE, those its queues interrupt; node:N, a NUMA node; or physical, one thread of each core' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l steer -d 'Which shard gets a query: auto, off, cpu (the one that received it), hash (by the NIC\'s hash)' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l busy-poll -d 'How long a shard polls the NIC before it sleeps, 0 to 1000' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l datapath -d 'How to receive and send: auto, io_uring or mmsg' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l http -d 'Address for the page, metrics and health over HTTP, or off. Default: 127.0.0.1:9112 if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l http-public -d 'Address for the public page alone, for everybody or a proxy, or off. Default: off' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l xdp -d 'Answer in the driver of this interface where possible (XDP); repeatable' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l log-format -d 'Log format: text or json' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l log-file -d 'Log file. Default: standard error' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand run" -l control -d 'Control socket, or off. Default: /run/as112d/control, or as112d/control in $XDG_RUNTIME_DIR, if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l dry-run -d 'Print where each shard would run, and why; open no socket'
complete -c as112d -n "__fish_as112d_using_subcommand run" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand check" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand check" -l zones -d 'A directory of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand check" -l node -d 'The node\'s name. Default: the host\'s name' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -s l -l listen -d 'Address to listen on; repeatable. Default port: 53. Names: as112-direct, as112-dname, as112 (both)' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l shards -d 'Number of threads that answer, or auto for one per CPU' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l cpus -d 'CPUs to pin shards to: 0-7,16-23; nic:IFACE, those its queues interrupt; node:N, a NUMA node; or physical, one thread of each core' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l steer -d 'Which shard gets a query: auto, off, cpu (the one that received it), hash (by the NIC\'s hash)' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l busy-poll -d 'How long a shard polls the NIC before it sleeps, 0 to 1000' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l datapath -d 'How to receive and send: auto, io_uring or mmsg' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l http -d 'Address for the page, metrics and health over HTTP, or off. Default: 127.0.0.1:9112 if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l http-public -d 'Address for the public page alone, for everybody or a proxy, or off. Default: off' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l xdp -d 'Answer in the driver of this interface where possible (XDP); repeatable' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l log-format -d 'Log format: text or json' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l log-file -d 'Log file. Default: standard error' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand check" -l control -d 'Control socket, or off. Default: /run/as112d/control, or as112d/control in $XDG_RUNTIME_DIR, if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l strict -d 'Treat warnings as errors'
complete -c as112d -n "__fish_as112d_using_subcommand check" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand config; and not __fish_seen_subcommand_from show init help" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand config; and not __fish_seen_subcommand_from show init help" -f -a "show" -d 'Print what is configured, as a configuration file'
complete -c as112d -n "__fish_as112d_using_subcommand config; and not __fish_seen_subcommand_from show init help" -f -a "init" -d 'Write a first configuration, with comments'
complete -c as112d -n "__fish_as112d_using_subcommand config; and not __fish_seen_subcommand_from show init help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l zones -d 'A directory of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l node -d 'The node\'s name. Default: the host\'s name' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -s l -l listen -d 'Address to listen on; repeatable. Default port: 53. Names: as112-direct, as112-dname, as112 (both)' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l shards -d 'Number of threads that answer, or auto for one per CPU' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l cpus -d 'CPUs to pin shards to: 0-7,16-23; nic:IFACE, those its queues interrupt; node:N, a NUMA node; or physical, one thread of each core' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l steer -d 'Which shard gets a query: auto, off, cpu (the one that received it), hash (by the NIC\'s hash)' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l busy-poll -d 'How long a shard polls the NIC before it sleeps, 0 to 1000' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l datapath -d 'How to receive and send: auto, io_uring or mmsg' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l http -d 'Address for the page, metrics and health over HTTP, or off. Default: 127.0.0.1:9112 if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l http-public -d 'Address for the public page alone, for everybody or a proxy, or off. Default: off' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l xdp -d 'Answer in the driver of this interface where possible (XDP); repeatable' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l log-format -d 'Log format: text or json' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l log-file -d 'Log file. Default: standard error' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l control -d 'Control socket, or off. Default: /run/as112d/control, or as112d/control in $XDG_RUNTIME_DIR, if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l effective -d 'Every value, defaults included'
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l origin -d 'Show where each value came from: default, file:line:column or option'
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from init" -l node -d 'The node\'s name. Default: the host\'s name' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from init" -l facility -d 'Name of the facility' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from init" -l location -d 'City and country' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from init" -l contact -d 'A contact, for example a mail address' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from init" -s l -l listen -d 'Address to listen on; repeatable. Default: as112, all service addresses' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from init" -l history -d 'Directory for the history, absolute or relative to the file' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from init" -l http -d 'Address for the page, metrics and health over HTTP, or off' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print what is configured, as a configuration file'
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "init" -d 'Write a first configuration, with comments'
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l bundle -d 'Write what a bug report needs to this new file, as text' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l url -d 'The node\'s HTTP address. Default: as the running node says' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l zones -d 'A directory of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l node -d 'The node\'s name. Default: the host\'s name' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -s l -l listen -d 'Address to listen on; repeatable. Default port: 53. Names: as112-direct, as112-dname, as112 (both)' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l shards -d 'Number of threads that answer, or auto for one per CPU' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l cpus -d 'CPUs to pin shards to: 0-7,16-23; nic:IFACE, those its queues interrupt; node:N, a NUMA node; or physical, one thread of each core' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l steer -d 'Which shard gets a query: auto, off, cpu (the one that received it), hash (by the NIC\'s hash)' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l busy-poll -d 'How long a shard polls the NIC before it sleeps, 0 to 1000' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l datapath -d 'How to receive and send: auto, io_uring or mmsg' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l http -d 'Address for the page, metrics and health over HTTP, or off. Default: 127.0.0.1:9112 if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l http-public -d 'Address for the public page alone, for everybody or a proxy, or off. Default: off' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l xdp -d 'Answer in the driver of this interface where possible (XDP); repeatable' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l log-format -d 'Log format: text or json' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l log-file -d 'Log file. Default: standard error' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l control -d 'Control socket, or off. Default: /run/as112d/control, or as112d/control in $XDG_RUNTIME_DIR, if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand zones" -l format -d 'Output format: zone, as zone files' -r -f -a "zone\t'Zone files (RFC 1035, section 5), one after the other'"
complete -c as112d -n "__fish_as112d_using_subcommand zones" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand zones" -l zones -d 'A directory of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand zones" -l node -d 'The node\'s name. Default: the host\'s name' -r
complete -c as112d -n "__fish_as112d_using_subcommand zones" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand query" -s x -l reverse -d 'Ask for the PTR record of an address' -r
complete -c as112d -n "__fish_as112d_using_subcommand query" -l class -d 'The class: IN, or CH for the server\'s own identity' -r -f -a "IN\t'The Internet'
CH\t'Chaosnet'"
complete -c as112d -n "__fish_as112d_using_subcommand query" -l subnet -d 'Send a client subnet (RFC 7871)' -r
complete -c as112d -n "__fish_as112d_using_subcommand query" -l from -l resolver -d 'Who asks. Default: this host' -r
complete -c as112d -n "__fish_as112d_using_subcommand query" -l to -d 'The address that is asked. Default: the first that the node listens on' -r
complete -c as112d -n "__fish_as112d_using_subcommand query" -l colo -d 'The data centre that rules see as `colo`' -r
complete -c as112d -n "__fish_as112d_using_subcommand query" -l cache -d 'With --why: what the cache has, hit, stale, failure or miss; repeatable. Default: miss' -r
complete -c as112d -n "__fish_as112d_using_subcommand query" -l outcome -d 'With --why: what comes of asking servers, ok, timeout, refused or bad; repeatable. Default: ok' -r
complete -c as112d -n "__fish_as112d_using_subcommand query" -l rcode -d 'With --why: the response code of servers; repeatable. Default: NOERROR' -r
complete -c as112d -n "__fish_as112d_using_subcommand query" -l rtt -d 'With --why: how long servers take. Default: 10ms' -r
complete -c as112d -n "__fish_as112d_using_subcommand query" -l batch -d 'With --why: for each line of a file, or of stdin (-): NAME TYPE and options as here' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand query" -l control -d 'The control socket of the running node. Default: as in the configuration' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand query" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand query" -l zones -d 'A directory of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand query" -l node -d 'The node\'s name. Default: the host\'s name' -r
complete -c as112d -n "__fish_as112d_using_subcommand query" -l tcp -d 'Answer as over TCP, where a reply may have 65535 bytes'
complete -c as112d -n "__fish_as112d_using_subcommand query" -l nsid -d 'Ask for the name server\'s identifier (RFC 5001)'
complete -c as112d -n "__fish_as112d_using_subcommand query" -l dnssec -l do -d 'Set the DO bit: ask for DNSSEC records'
complete -c as112d -n "__fish_as112d_using_subcommand query" -l rd -d 'Set the RD bit: ask for recursion'
complete -c as112d -n "__fish_as112d_using_subcommand query" -l cd -d 'Set the CD bit: ask for what was not validated'
complete -c as112d -n "__fish_as112d_using_subcommand query" -l no-edns -d 'Send no EDNS'
complete -c as112d -n "__fish_as112d_using_subcommand query" -l why -d 'Print the way of the query term by term: which rules are asked, and what decides'
complete -c as112d -n "__fish_as112d_using_subcommand query" -l json -d 'With --why: print it as JSON, one object in one line'
complete -c as112d -n "__fish_as112d_using_subcommand query" -l live -d 'With --why, ask the running node; without --from, also send it the query once'
complete -c as112d -n "__fish_as112d_using_subcommand query" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand explain" -l resolver -d 'The resolver that asks. Default: this host' -r
complete -c as112d -n "__fish_as112d_using_subcommand explain" -l subnet -d 'The client subnet that it sends (RFC 7871)' -r
complete -c as112d -n "__fish_as112d_using_subcommand explain" -l control -d 'Ask the running node, which knows which PoPs are up; at this control socket, or as in the configuration' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand explain" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand explain" -l zones -d 'A directory of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand explain" -l node -d 'The node\'s name. Default: the host\'s name' -r
complete -c as112d -n "__fish_as112d_using_subcommand explain" -l tcp -d 'Answer as over TCP'
complete -c as112d -n "__fish_as112d_using_subcommand explain" -l json -d 'Print it as JSON, one object in one line'
complete -c as112d -n "__fish_as112d_using_subcommand explain" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand rules; and not __fish_seen_subcommand_from check list help" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand rules; and not __fish_seen_subcommand_from check list help" -f -a "check" -d 'Check the rules and routes of a configuration, or files of rules: report every mistake'
complete -c as112d -n "__fish_as112d_using_subcommand rules; and not __fish_seen_subcommand_from check list help" -f -a "list" -d 'List the rules and routes of a running node, with their hits'
complete -c as112d -n "__fish_as112d_using_subcommand rules; and not __fish_seen_subcommand_from check list help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c as112d -n "__fish_as112d_using_subcommand rules; and __fish_seen_subcommand_from check" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand rules; and __fish_seen_subcommand_from check" -l zones -d 'A directory of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand rules; and __fish_seen_subcommand_from check" -l node -d 'The node\'s name. Default: the host\'s name' -r
complete -c as112d -n "__fish_as112d_using_subcommand rules; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand rules; and __fish_seen_subcommand_from list" -s c -l config -d 'The configuration of the node: says where its control socket and HTTP are' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand rules; and __fish_seen_subcommand_from list" -l control -d 'The node\'s control socket. Default: as in the configuration, else /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand rules; and __fish_seen_subcommand_from list" -l json -d 'Print the full reply as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand rules; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand rules; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check the rules and routes of a configuration, or files of rules: report every mistake'
complete -c as112d -n "__fish_as112d_using_subcommand rules; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the rules and routes of a running node, with their hits'
complete -c as112d -n "__fish_as112d_using_subcommand rules; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and not __fish_seen_subcommand_from check list try new help" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and not __fish_seen_subcommand_from check list try new help" -f -a "check" -d 'Check the applications of a configuration, or one: report every mistake, or what each takes and may do'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and not __fish_seen_subcommand_from check list try new help" -f -a "list" -d 'List the applications of a running node, with what they do'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and not __fish_seen_subcommand_from check list try new help" -f -a "try" -d 'Ask an application about one query, without a node, and print what it says'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and not __fish_seen_subcommand_from check list try new help" -f -a "new" -d 'Write a new application: sources in Rust and a manifest, ready to build'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and not __fish_seen_subcommand_from check list try new help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from check" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from check" -l zones -d 'A directory of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from check" -l node -d 'The node\'s name. Default: the host\'s name' -r
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from list" -s c -l config -d 'The configuration of the node: says where its control socket and HTTP are' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from list" -l control -d 'The node\'s control socket. Default: as in the configuration, else /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from list" -l json -d 'Print the full reply as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from try" -l from -d 'Who asks. Default: this host' -r
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from try" -l to -d 'The address that is asked. Default: the first that the node listens on' -r
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from try" -l phase -d 'The phase: request, post-cache, response, reply or done' -r
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from try" -l reply -d 'The reply so far, in the phases that know one: a file with the message, in bytes or in hexadecimal' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from try" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from try" -l zones -d 'A directory of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from try" -l node -d 'The node\'s name. Default: the host\'s name' -r
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from try" -l tcp -d 'Ask as over TCP'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from try" -l dnssec -d 'Set the DO bit: ask for DNSSEC records'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from try" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from new" -l parent -d 'Where its directory is made. Default: here' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from new" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check the applications of a configuration, or one: report every mistake, or what each takes and may do'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the applications of a running node, with what they do'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from help" -f -a "try" -d 'Ask an application about one query, without a node, and print what it says'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from help" -f -a "new" -d 'Write a new application: sources in Rust and a manifest, ready to build'
complete -c as112d -n "__fish_as112d_using_subcommand apps; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c as112d -n "__fish_as112d_using_subcommand cache; and not __fish_seen_subcommand_from show purge help" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand cache; and not __fish_seen_subcommand_from show purge help" -f -a "show" -d 'Show what the cache has of a name'
complete -c as112d -n "__fish_as112d_using_subcommand cache; and not __fish_seen_subcommand_from show purge help" -f -a "purge" -d 'Remove what the cache has of a name'
complete -c as112d -n "__fish_as112d_using_subcommand cache; and not __fish_seen_subcommand_from show purge help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c as112d -n "__fish_as112d_using_subcommand cache; and __fish_seen_subcommand_from show" -s c -l config -d 'The configuration of the node: says where its control socket and HTTP are' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand cache; and __fish_seen_subcommand_from show" -l control -d 'The node\'s control socket. Default: as in the configuration, else /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand cache; and __fish_seen_subcommand_from show" -l subtree -d 'The names below it, too'
complete -c as112d -n "__fish_as112d_using_subcommand cache; and __fish_seen_subcommand_from show" -l json -d 'Print the full reply as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand cache; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand cache; and __fish_seen_subcommand_from purge" -s c -l config -d 'The configuration of the node: says where its control socket and HTTP are' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand cache; and __fish_seen_subcommand_from purge" -l control -d 'The node\'s control socket. Default: as in the configuration, else /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand cache; and __fish_seen_subcommand_from purge" -l subtree -d 'The names below it, too'
complete -c as112d -n "__fish_as112d_using_subcommand cache; and __fish_seen_subcommand_from purge" -l json -d 'Print the full reply as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand cache; and __fish_seen_subcommand_from purge" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand cache; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show what the cache has of a name'
complete -c as112d -n "__fish_as112d_using_subcommand cache; and __fish_seen_subcommand_from help" -f -a "purge" -d 'Remove what the cache has of a name'
complete -c as112d -n "__fish_as112d_using_subcommand cache; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c as112d -n "__fish_as112d_using_subcommand stats" -l url -d 'The node\'s HTTP address. Default: as the running node says' -r
complete -c as112d -n "__fish_as112d_using_subcommand stats" -s c -l config -d 'The configuration of the node: says where its control socket and HTTP are' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand stats" -l control -d 'The node\'s control socket. Default: as in the configuration, else /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand stats" -l json -d 'Print all numbers as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand stats" -l watch -d 'Ask again every 2 seconds, and show rates'
complete -c as112d -n "__fish_as112d_using_subcommand stats" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand top" -l url -d 'The node\'s HTTP address. Default: as the running node says' -r
complete -c as112d -n "__fish_as112d_using_subcommand top" -s c -l config -d 'The configuration of the node: says where its control socket and HTTP are' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand top" -l control -d 'The node\'s control socket. Default: as in the configuration, else /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand top" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand site" -l url -d 'The node\'s HTTP address. Default: as the running node says' -r
complete -c as112d -n "__fish_as112d_using_subcommand site" -s c -l config -d 'The configuration of the node: says where its control socket and HTTP are' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand site" -l control -d 'The node\'s control socket. Default: as in the configuration, else /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand site" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand probe" -s a -l address -d 'Address to probe, as in `run --listen`; repeatable. Default: what the running node listens on, else all service addresses' -r
complete -c as112d -n "__fish_as112d_using_subcommand probe" -s t -l timeout -d 'Time limit for each address, 10ms to 60m. Default: 500ms' -r
complete -c as112d -n "__fish_as112d_using_subcommand probe" -s c -l config -d 'Probe what this configuration listens on' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand probe" -l control -d 'Fail if the node at this control socket is draining, stopping or gone, even if the addresses answer' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand probe" -l local -d 'Fail for an address that is not on this host, whoever answers there'
complete -c as112d -n "__fish_as112d_using_subcommand probe" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand announce" -s c -l config -d 'The configuration file (TOML), with a router in `[announce]`' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand announce" -l control -d 'The node\'s control socket, or off. Default: as in the configuration' -r
complete -c as112d -n "__fish_as112d_using_subcommand announce" -l withdraw -d 'Withdraw everything once and exit: for cleaning up after a crash'
complete -c as112d -n "__fish_as112d_using_subcommand announce" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand learn" -s c -l config -d 'The configuration of the node: its PoPs, its maps, its beacons' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand learn" -l observations -d 'The directory of observations. Default: as the configuration says' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand learn" -l state -d 'The file to keep what is known in. Default: as the configuration says' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand learn" -l at -d 'Learn as if it were this time, such as 2026-11-28T00:00:00Z or seconds of Unix time' -r
complete -c as112d -n "__fish_as112d_using_subcommand learn" -l import -d 'Add what another node knows, from its --export, then exit; repeatable' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand learn" -l once -d 'Learn once, then exit. Default: learn every hour'
complete -c as112d -n "__fish_as112d_using_subcommand learn" -l export -d 'Print what is known, for another node\'s --import, then exit'
complete -c as112d -n "__fish_as112d_using_subcommand learn" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand resolver" -s c -l config -d 'The configuration file (TOML), with `[resolver]`' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand resolver" -s a -l address -d 'Where to listen, UDP and TCP. Default: as in the configuration, else 127.0.0.1:5354' -r
complete -c as112d -n "__fish_as112d_using_subcommand resolver" -l hints -d 'A file of root servers. Default: as in the configuration, else those of the Internet' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand resolver" -l open -d 'Listen on an address that is not a loopback address: open to all who reach it'
complete -c as112d -n "__fish_as112d_using_subcommand resolver" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand addresses" -l interface -d 'Interface to add them to: any name but lo is a dummy interface, created here' -r
complete -c as112d -n "__fish_as112d_using_subcommand addresses" -l apply -d 'Run the commands instead of printing them only'
complete -c as112d -n "__fish_as112d_using_subcommand addresses" -l check -d 'Check that the addresses are there: exit status 0 if all are, else 1'
complete -c as112d -n "__fish_as112d_using_subcommand addresses" -l undo -d 'Remove the addresses'
complete -c as112d -n "__fish_as112d_using_subcommand addresses" -l whole-prefix -d 'Every address of the prefixes, not only those that answer'
complete -c as112d -n "__fish_as112d_using_subcommand addresses" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand status" -s c -l config -d 'The configuration of the node: says where its control socket and HTTP are' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand status" -l control -d 'The node\'s control socket. Default: as in the configuration, else /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand status" -l json -d 'Print the full reply as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand status" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand reload" -s c -l config -d 'The configuration of the node: says where its control socket and HTTP are' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand reload" -l control -d 'The node\'s control socket. Default: as in the configuration, else /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand reload" -l maps -d 'Read the files of the maps again, and nothing else'
complete -c as112d -n "__fish_as112d_using_subcommand reload" -l json -d 'Print the full reply as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand reload" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand drain" -s c -l config -d 'The configuration of the node: says where its control socket and HTTP are' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand drain" -l control -d 'The node\'s control socket. Default: as in the configuration, else /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand drain" -l json -d 'Print the full reply as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand drain" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand undrain" -s c -l config -d 'The configuration of the node: says where its control socket and HTTP are' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand undrain" -l control -d 'The node\'s control socket. Default: as in the configuration, else /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand undrain" -l json -d 'Print the full reply as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand undrain" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand upgrade" -s c -l config -d 'The configuration of the node: says where its control socket and HTTP are' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand upgrade" -l control -d 'The node\'s control socket. Default: as in the configuration, else /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand upgrade" -l json -d 'Print the full reply as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand upgrade" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand shutdown" -s c -l config -d 'The configuration of the node: says where its control socket and HTTP are' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand shutdown" -l control -d 'The node\'s control socket. Default: as in the configuration, else /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand shutdown" -l json -d 'Print the full reply as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand shutdown" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand pop" -s c -l config -d 'The configuration of the node: says where its control socket and HTTP are' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand pop" -l control -d 'The node\'s control socket. Default: as in the configuration, else /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand pop" -l json -d 'Print the full reply as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand pop" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand watch" -s c -l config -d 'The configuration file (TOML), with PoPs whose `health` is `probe` or `file`' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand watch" -l control -d 'The node\'s control socket. Default: as in the configuration' -r
complete -c as112d -n "__fish_as112d_using_subcommand watch" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand verbosity" -s c -l config -d 'The configuration of the node: says where its control socket and HTTP are' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand verbosity" -l control -d 'The node\'s control socket. Default: as in the configuration, else /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand verbosity" -l json -d 'Print the full reply as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand verbosity" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "run" -d 'Serve until SIGTERM or SIGINT (the default)'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "check" -d 'Check configuration and zones: report every error, or what would be served'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "config" -d 'Write a first configuration, or show the one in effect'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "doctor" -d 'Check this host and say what to change'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "zones" -d 'Print the zones that `run` would serve'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "query" -d 'Answer one query without using the network, and print the reply or why it is that'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "explain" -d 'Explain which PoP a client gets, and why'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "rules" -d 'Check rules and routes, or list those of a running node'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "apps" -d 'Check, list, try or begin applications: guests in WebAssembly'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "cache" -d 'Show or purge what the cache of a running node has of a name'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "stats" -d 'Print the statistics of a running node'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "top" -d 'Watch a running node live, on a terminal'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "site" -d 'Write the public page of a running node to a directory, as files'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "probe" -d 'Send test queries to addresses: exit status 0 if all answer as they should, else 1'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "announce" -d 'Have a router announce the prefixes while the node answers'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "learn" -d 'Learn from beacons which PoP is best for the users of each resolver, and write maps'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "resolver" -d 'Resolve for a node: a recursive resolver on a loopback address, which the node starts itself'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "addresses" -d 'Print or run the commands that add the service addresses to this host'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "status" -d 'Show the state of a running node'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "reload" -d 'Read configuration and zones again'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "drain" -d 'Take a running node out of service: withdraw its routes, answer what still arrives'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "undrain" -d 'Return a drained node to service'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "upgrade" -d 'Replace a running node with the program and configuration now on disk, losing no query'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "shutdown" -d 'Drain a running node, then stop it'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "pop" -d 'Show which PoPs are up, or drain one, or leave it to its probes again'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "watch" -d 'Probe PoPs, and tell the running node which are up'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "verbosity" -d 'Set the log level of a running node, until it stops'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query explain rules apps cache stats top site probe announce learn resolver addresses status reload drain undrain upgrade shutdown pop watch verbosity help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c as112d -n "__fish_as112d_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print what is configured, as a configuration file'
complete -c as112d -n "__fish_as112d_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "init" -d 'Write a first configuration, with comments'
complete -c as112d -n "__fish_as112d_using_subcommand help; and __fish_seen_subcommand_from rules" -f -a "check" -d 'Check the rules and routes of a configuration, or files of rules: report every mistake'
complete -c as112d -n "__fish_as112d_using_subcommand help; and __fish_seen_subcommand_from rules" -f -a "list" -d 'List the rules and routes of a running node, with their hits'
complete -c as112d -n "__fish_as112d_using_subcommand help; and __fish_seen_subcommand_from apps" -f -a "check" -d 'Check the applications of a configuration, or one: report every mistake, or what each takes and may do'
complete -c as112d -n "__fish_as112d_using_subcommand help; and __fish_seen_subcommand_from apps" -f -a "list" -d 'List the applications of a running node, with what they do'
complete -c as112d -n "__fish_as112d_using_subcommand help; and __fish_seen_subcommand_from apps" -f -a "try" -d 'Ask an application about one query, without a node, and print what it says'
complete -c as112d -n "__fish_as112d_using_subcommand help; and __fish_seen_subcommand_from apps" -f -a "new" -d 'Write a new application: sources in Rust and a manifest, ready to build'
complete -c as112d -n "__fish_as112d_using_subcommand help; and __fish_seen_subcommand_from cache" -f -a "show" -d 'Show what the cache has of a name'
complete -c as112d -n "__fish_as112d_using_subcommand help; and __fish_seen_subcommand_from cache" -f -a "purge" -d 'Remove what the cache has of a name'

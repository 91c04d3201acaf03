# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_as112d_global_optspecs
    string join \n c/config= zones= node= l/listen= shards= cpus= steer= busy-poll= datapath= http= xdp= log-format= log-file= control= dry-run h/help V/version
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
complete -c as112d -n "__fish_as112d_needs_command" -l zones -d 'A folder of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_needs_command" -l node -d 'The node\'s name, else the host\'s' -r
complete -c as112d -n "__fish_as112d_needs_command" -s l -l listen -d 'Where to listen; repeatable. Port 53 if none is given. Names: as112-direct, as112-dname, as112 (both)' -r
complete -c as112d -n "__fish_as112d_needs_command" -l shards -d 'Threads that answer: a number, or auto for one per CPU' -r
complete -c as112d -n "__fish_as112d_needs_command" -l cpus -d 'The CPUs of the shards: 0-7,16-23; nic:IFACE, where its queues interrupt; node:N; or physical, one thread of each core' -r
complete -c as112d -n "__fish_as112d_needs_command" -l steer -d 'Which shard gets a query: auto, off, cpu (where it was received), hash (that of the network card)' -r
complete -c as112d -n "__fish_as112d_needs_command" -l busy-poll -d 'Poll the network card for so long before a shard sleeps, 0 to 1000' -r
complete -c as112d -n "__fish_as112d_needs_command" -l datapath -d 'How to receive and send: auto, io_uring or mmsg' -r
complete -c as112d -n "__fish_as112d_needs_command" -l http -d 'Where statistics and health are served over HTTP, or off; 127.0.0.1:9112 if it is free' -r
complete -c as112d -n "__fish_as112d_needs_command" -l xdp -d 'Answer in the driver of this interface what can be answered there (XDP); repeatable' -r
complete -c as112d -n "__fish_as112d_needs_command" -l log-format -d 'The form of the log: text, or json' -r
complete -c as112d -n "__fish_as112d_needs_command" -l log-file -d 'The file of the log, else standard error' -r -F
complete -c as112d -n "__fish_as112d_needs_command" -l control -d 'The socket over which the node is controlled, or off; /run/as112d/control or in $XDG_RUNTIME_DIR if it is free' -r
complete -c as112d -n "__fish_as112d_needs_command" -l dry-run -d 'Print where each shard would run, and why; open nothing'
complete -c as112d -n "__fish_as112d_needs_command" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_needs_command" -s V -l version -d 'Print version'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "run" -d 'Serve, until SIGTERM or SIGINT (the default)'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "check" -d 'Say what `run` would serve, or every mistake; open no port'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "config" -d 'Show the configuration'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "doctor" -d 'Look at this host: what is good for a node, and what to do'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "zones" -d 'Print the zones that `run` would serve'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "query" -d 'Answer one query without a network, and print the reply'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "stats" -d 'Print what a running node counts'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "top" -d 'Watch a running node, live on a terminal'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "site" -d 'Write the public page of a running node to a folder, as files'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "probe" -d 'Ask an address what a resolver would: exit code 0 if it answers, else 1'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "announce" -d 'Have a router announce the prefixes while the node answers'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "addresses" -d 'Put the service addresses on this host: print the commands, or run them'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "status" -d 'Say how a running node is'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "reload" -d 'Let a running node read its configuration and zones again'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "drain" -d 'Let nobody be sent to a running node any more; it answers who still comes'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "undrain" -d 'Take a drain back'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "upgrade" -d 'Let a new process take the place of a running node, with what program and configuration there are now'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "shutdown" -d 'Drain a running node, and end it'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "verbosity" -d 'Set what a running node logs, until it ends'
complete -c as112d -n "__fish_as112d_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c as112d -n "__fish_as112d_using_subcommand run" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand run" -l zones -d 'A folder of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand run" -l node -d 'The node\'s name, else the host\'s' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -s l -l listen -d 'Where to listen; repeatable. Port 53 if none is given. Names: as112-direct, as112-dname, as112 (both)' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l shards -d 'Threads that answer: a number, or auto for one per CPU' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l cpus -d 'The CPUs of the shards: 0-7,16-23; nic:IFACE, where its queues interrupt; node:N; or physical, one thread of each core' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l steer -d 'Which shard gets a query: auto, off, cpu (where it was received), hash (that of the network card)' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l busy-poll -d 'Poll the network card for so long before a shard sleeps, 0 to 1000' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l datapath -d 'How to receive and send: auto, io_uring or mmsg' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l http -d 'Where statistics and health are served over HTTP, or off; 127.0.0.1:9112 if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l xdp -d 'Answer in the driver of this interface what can be answered there (XDP); repeatable' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l log-format -d 'The form of the log: text, or json' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l log-file -d 'The file of the log, else standard error' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand run" -l control -d 'The socket over which the node is controlled, or off; /run/as112d/control or in $XDG_RUNTIME_DIR if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand run" -l dry-run -d 'Print where each shard would run, and why; open nothing'
complete -c as112d -n "__fish_as112d_using_subcommand run" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand check" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand check" -l zones -d 'A folder of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand check" -l node -d 'The node\'s name, else the host\'s' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -s l -l listen -d 'Where to listen; repeatable. Port 53 if none is given. Names: as112-direct, as112-dname, as112 (both)' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l shards -d 'Threads that answer: a number, or auto for one per CPU' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l cpus -d 'The CPUs of the shards: 0-7,16-23; nic:IFACE, where its queues interrupt; node:N; or physical, one thread of each core' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l steer -d 'Which shard gets a query: auto, off, cpu (where it was received), hash (that of the network card)' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l busy-poll -d 'Poll the network card for so long before a shard sleeps, 0 to 1000' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l datapath -d 'How to receive and send: auto, io_uring or mmsg' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l http -d 'Where statistics and health are served over HTTP, or off; 127.0.0.1:9112 if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l xdp -d 'Answer in the driver of this interface what can be answered there (XDP); repeatable' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l log-format -d 'The form of the log: text, or json' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -l log-file -d 'The file of the log, else standard error' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand check" -l control -d 'The socket over which the node is controlled, or off; /run/as112d/control or in $XDG_RUNTIME_DIR if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand check" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand config; and not __fish_seen_subcommand_from show help" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand config; and not __fish_seen_subcommand_from show help" -f -a "show" -d 'Print what was configured, as a configuration file'
complete -c as112d -n "__fish_as112d_using_subcommand config; and not __fish_seen_subcommand_from show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l zones -d 'A folder of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l node -d 'The node\'s name, else the host\'s' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -s l -l listen -d 'Where to listen; repeatable. Port 53 if none is given. Names: as112-direct, as112-dname, as112 (both)' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l shards -d 'Threads that answer: a number, or auto for one per CPU' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l cpus -d 'The CPUs of the shards: 0-7,16-23; nic:IFACE, where its queues interrupt; node:N; or physical, one thread of each core' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l steer -d 'Which shard gets a query: auto, off, cpu (where it was received), hash (that of the network card)' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l busy-poll -d 'Poll the network card for so long before a shard sleeps, 0 to 1000' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l datapath -d 'How to receive and send: auto, io_uring or mmsg' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l http -d 'Where statistics and health are served over HTTP, or off; 127.0.0.1:9112 if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l xdp -d 'Answer in the driver of this interface what can be answered there (XDP); repeatable' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l log-format -d 'The form of the log: text, or json' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l log-file -d 'The file of the log, else standard error' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l control -d 'The socket over which the node is controlled, or off; /run/as112d/control or in $XDG_RUNTIME_DIR if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l effective -d 'Every value, with those that nobody gave'
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -l origin -d 'Say of each value where it came from: default, file:line:column or option'
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print what was configured, as a configuration file'
complete -c as112d -n "__fish_as112d_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l bundle -d 'Write what a report of a fault needs to this new file, as text' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l url -d 'Where the node serves HTTP, else http://127.0.0.1:9112' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l zones -d 'A folder of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l node -d 'The node\'s name, else the host\'s' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -s l -l listen -d 'Where to listen; repeatable. Port 53 if none is given. Names: as112-direct, as112-dname, as112 (both)' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l shards -d 'Threads that answer: a number, or auto for one per CPU' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l cpus -d 'The CPUs of the shards: 0-7,16-23; nic:IFACE, where its queues interrupt; node:N; or physical, one thread of each core' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l steer -d 'Which shard gets a query: auto, off, cpu (where it was received), hash (that of the network card)' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l busy-poll -d 'Poll the network card for so long before a shard sleeps, 0 to 1000' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l datapath -d 'How to receive and send: auto, io_uring or mmsg' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l http -d 'Where statistics and health are served over HTTP, or off; 127.0.0.1:9112 if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l xdp -d 'Answer in the driver of this interface what can be answered there (XDP); repeatable' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l log-format -d 'The form of the log: text, or json' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l log-file -d 'The file of the log, else standard error' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -l control -d 'The socket over which the node is controlled, or off; /run/as112d/control or in $XDG_RUNTIME_DIR if it is free' -r
complete -c as112d -n "__fish_as112d_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand zones" -l format -d 'How to print them: zone, as zone files' -r -f -a "zone\t'Zone files (RFC 1035, section 5), one after the other'"
complete -c as112d -n "__fish_as112d_using_subcommand zones" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand zones" -l zones -d 'A folder of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand zones" -l node -d 'The node\'s name, else the host\'s' -r
complete -c as112d -n "__fish_as112d_using_subcommand zones" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand query" -l class -d 'The class: IN, or CH for the server\'s own identity' -r -f -a "IN\t'The Internet'
CH\t'Chaosnet'"
complete -c as112d -n "__fish_as112d_using_subcommand query" -s c -l config -d 'The configuration file (TOML)' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand query" -l zones -d 'A folder of zone files: example.com.zone is example.com' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand query" -l node -d 'The node\'s name, else the host\'s' -r
complete -c as112d -n "__fish_as112d_using_subcommand query" -l tcp -d 'Ask as over TCP, where a reply may have 65535 bytes'
complete -c as112d -n "__fish_as112d_using_subcommand query" -l nsid -d 'Ask for the name server\'s identifier (RFC 5001)'
complete -c as112d -n "__fish_as112d_using_subcommand query" -l dnssec -d 'Set the DO bit: ask for DNSSEC records'
complete -c as112d -n "__fish_as112d_using_subcommand query" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand stats" -l url -d 'Where the node serves HTTP, else http://127.0.0.1:9112' -r
complete -c as112d -n "__fish_as112d_using_subcommand stats" -l json -d 'Print all numbers, as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand stats" -l watch -d 'Ask again every 2 seconds, and show the rates in between'
complete -c as112d -n "__fish_as112d_using_subcommand stats" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand top" -l url -d 'Where the node serves HTTP, else http://127.0.0.1:9112' -r
complete -c as112d -n "__fish_as112d_using_subcommand top" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand site" -l url -d 'Where the node serves HTTP, else http://127.0.0.1:9112' -r
complete -c as112d -n "__fish_as112d_using_subcommand site" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand probe" -s a -l address -d 'What to probe, as in --listen of run; repeatable. Else all service addresses' -r
complete -c as112d -n "__fish_as112d_using_subcommand probe" -s t -l timeout -d 'How long an address may take, 10ms to 60m; else 500ms' -r
complete -c as112d -n "__fish_as112d_using_subcommand probe" -s c -l config -d 'Probe what this configuration listens on' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand probe" -l control -d 'The node\'s control socket: a node that drains or stops has failed then, although it answers' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand probe" -l local -d 'An address that is not on this host has failed, whoever answers there'
complete -c as112d -n "__fish_as112d_using_subcommand probe" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand announce" -s c -l config -d 'The configuration file (TOML), with a router in `[announce]`' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand announce" -l control -d 'Where the node is controlled, or off; else as the configuration says' -r
complete -c as112d -n "__fish_as112d_using_subcommand announce" -l withdraw -d 'Withdraw everything, once, and end: for what cleans up behind another'
complete -c as112d -n "__fish_as112d_using_subcommand announce" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand addresses" -l interface -d 'Where to put them: another name than lo is a dummy interface to be made' -r
complete -c as112d -n "__fish_as112d_using_subcommand addresses" -l apply -d 'Run the commands, instead of only printing them'
complete -c as112d -n "__fish_as112d_using_subcommand addresses" -l check -d 'Say whether the addresses are there: exit code 0 if all are, else 1'
complete -c as112d -n "__fish_as112d_using_subcommand addresses" -l undo -d 'Take the addresses away'
complete -c as112d -n "__fish_as112d_using_subcommand addresses" -l whole-prefix -d 'Every address of the prefixes as well, and not those that answer alone'
complete -c as112d -n "__fish_as112d_using_subcommand addresses" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand status" -l control -d 'Its control socket, else /run/as112d/control or that in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand status" -l json -d 'Print the whole answer, as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand status" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand reload" -l control -d 'Its control socket, else /run/as112d/control or that in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand reload" -l json -d 'Print the whole answer, as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand reload" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand drain" -l control -d 'Its control socket, else /run/as112d/control or that in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand drain" -l json -d 'Print the whole answer, as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand drain" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand undrain" -l control -d 'Its control socket, else /run/as112d/control or that in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand undrain" -l json -d 'Print the whole answer, as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand undrain" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand upgrade" -l control -d 'Its control socket, else /run/as112d/control or that in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand upgrade" -l json -d 'Print the whole answer, as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand upgrade" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand shutdown" -l control -d 'Its control socket, else /run/as112d/control or that in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand shutdown" -l json -d 'Print the whole answer, as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand shutdown" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand verbosity" -l control -d 'Its control socket, else /run/as112d/control or that in $XDG_RUNTIME_DIR' -r -F
complete -c as112d -n "__fish_as112d_using_subcommand verbosity" -l json -d 'Print the whole answer, as JSON'
complete -c as112d -n "__fish_as112d_using_subcommand verbosity" -s h -l help -d 'Print help'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "run" -d 'Serve, until SIGTERM or SIGINT (the default)'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "check" -d 'Say what `run` would serve, or every mistake; open no port'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "config" -d 'Show the configuration'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "doctor" -d 'Look at this host: what is good for a node, and what to do'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "zones" -d 'Print the zones that `run` would serve'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "query" -d 'Answer one query without a network, and print the reply'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "stats" -d 'Print what a running node counts'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "top" -d 'Watch a running node, live on a terminal'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "site" -d 'Write the public page of a running node to a folder, as files'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "probe" -d 'Ask an address what a resolver would: exit code 0 if it answers, else 1'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "announce" -d 'Have a router announce the prefixes while the node answers'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "addresses" -d 'Put the service addresses on this host: print the commands, or run them'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "status" -d 'Say how a running node is'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "reload" -d 'Let a running node read its configuration and zones again'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "drain" -d 'Let nobody be sent to a running node any more; it answers who still comes'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "undrain" -d 'Take a drain back'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "upgrade" -d 'Let a new process take the place of a running node, with what program and configuration there are now'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "shutdown" -d 'Drain a running node, and end it'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "verbosity" -d 'Set what a running node logs, until it ends'
complete -c as112d -n "__fish_as112d_using_subcommand help; and not __fish_seen_subcommand_from run check config doctor zones query stats top site probe announce addresses status reload drain undrain upgrade shutdown verbosity help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c as112d -n "__fish_as112d_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print what was configured, as a configuration file'

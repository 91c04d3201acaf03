# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_as112d_fleet_global_optspecs
    string join \n h/help V/version
end

function __fish_as112d_fleet_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_as112d_fleet_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_as112d_fleet_using_subcommand
    set -l cmd (__fish_as112d_fleet_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -s h -l help -d 'Print help'
complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -s V -l version -d 'Print version'
complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -f -a "keygen" -d 'Make a key that signs releases'
complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -f -a "check" -d 'Check a directory that is to become a release'
complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -f -a "publish" -d 'Make a release of a directory, sign it, and point the first nodes at it'
complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -f -a "status" -d 'Show which node has which release'
complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -f -a "promote" -d 'Give a release to the next nodes'
complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -f -a "hold" -d 'Stop nodes at what they have'
complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -f -a "rollback" -d 'Give nodes an older release again'
complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -f -a "drain" -d 'Take nodes out of service'
complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -f -a "undrain" -d 'Return drained nodes to service'
complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -f -a "log" -d 'Show who published, promoted and rolled back'
complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -f -a "agent" -d 'On a node: follow the fleet\'s releases'
complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -f -a "fetch" -d 'On a node: fetch the release that is wanted, once'
complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -f -a "metrics" -d 'Collect the statistics of all nodes, and serve them'
complete -c as112d-fleet -n "__fish_as112d_fleet_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand keygen" -l password-file -d 'A file with the password' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand keygen" -l node -d 'Make the key by which a node gets in at NATS, instead of one that signs'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand keygen" -l no-password -d 'Leave the secret key without a password'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand keygen" -l json -d 'Print JSON'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand keygen" -s h -l help -d 'Print help'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand check" -l without-as112-zones -d 'Publish without zones of AS112 that are missing' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand check" -l local -d 'A configuration file of a node, which the release is laid over' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand check" -l min-version -d 'The oldest as112d that can serve it' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand check" -l config -d 'The publisher\'s settings [default: fleet.toml, if it is there]' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand check" -l json -d 'Print JSON'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand check" -s h -l help -d 'Print help'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l to -d 'Who gets it first [default: the first stage of fleet.toml]' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l new-keys -d 'The keys of the fleet from this release on' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l new-threshold -d 'How many of those must sign' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l without-as112-zones -d 'Publish without zones of AS112 that are missing' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l local -d 'A configuration file of a node, which the release is laid over' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l min-version -d 'The oldest as112d that can serve it' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l config -d 'The publisher\'s settings [default: fleet.toml, if it is there]' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l fleet -d 'The fleet\'s name' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l at -d 'The tree: dir:PATH, https://HOST/PATH, nats://HOST or tls://HOST' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l nkey -d 'A file with the seed of an nkey, for NATS' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l user -d 'A user of NATS' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l password-file -d 'A file with the user\'s password' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l ca -d 'A file of certificates to trust in place of the system\'s' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l domain -d 'The hub\'s JetStream domain, where the address is a leaf\'s' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l key -d 'A secret key that signs; may be given more than once' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l sign-with -d 'A command that signs a file whose name it gets, such as "minisign -S -s KEY -m"' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l key-password-file -d 'A file with the password of the secret keys' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l by -d 'Who does this, for the log' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l reason -d 'Why, for the log' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l dry-run -d 'Only show what would change, for each kind of nodes; or what would be signed'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l add-signature -d 'Sign what somebody else has published and what waits for more signatures'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l all-at-once -d 'Give it to all nodes at once; needs a reason'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -l json -d 'Print JSON'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand publish" -s h -l help -d 'Print help'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand status" -l config -d 'The publisher\'s settings [default: fleet.toml, if it is there]' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand status" -l fleet -d 'The fleet\'s name' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand status" -l at -d 'The tree: dir:PATH, https://HOST/PATH, nats://HOST or tls://HOST' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand status" -l nkey -d 'A file with the seed of an nkey, for NATS' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand status" -l user -d 'A user of NATS' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand status" -l password-file -d 'A file with the user\'s password' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand status" -l ca -d 'A file of certificates to trust in place of the system\'s' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand status" -l domain -d 'The hub\'s JetStream domain, where the address is a leaf\'s' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand status" -l watch -d 'Show it again and again, until the terminal says otherwise'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand status" -l json -d 'Print JSON'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand status" -s h -l help -d 'Print help'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l quorum -d 'The part of the nodes of a stage that were heard of, in percent, which must be healthy' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l config -d 'The publisher\'s settings [default: fleet.toml, if it is there]' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l fleet -d 'The fleet\'s name' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l at -d 'The tree: dir:PATH, https://HOST/PATH, nats://HOST or tls://HOST' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l nkey -d 'A file with the seed of an nkey, for NATS' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l user -d 'A user of NATS' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l password-file -d 'A file with the user\'s password' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l ca -d 'A file of certificates to trust in place of the system\'s' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l domain -d 'The hub\'s JetStream domain, where the address is a leaf\'s' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l key -d 'A secret key that signs; may be given more than once' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l sign-with -d 'A command that signs a file whose name it gets, such as "minisign -S -s KEY -m"' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l key-password-file -d 'A file with the password of the secret keys' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l by -d 'Who does this, for the log' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l reason -d 'Why, for the log' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l auto -d 'Continue until all nodes have it, or it fails'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l all-at-once -d 'Give it to all nodes at once; needs a reason'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -l json -d 'Print JSON'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand promote" -s h -l help -d 'Print help'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l node -d 'One node' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l colo -d 'One colo' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l config -d 'The publisher\'s settings [default: fleet.toml, if it is there]' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l fleet -d 'The fleet\'s name' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l at -d 'The tree: dir:PATH, https://HOST/PATH, nats://HOST or tls://HOST' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l nkey -d 'A file with the seed of an nkey, for NATS' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l user -d 'A user of NATS' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l password-file -d 'A file with the user\'s password' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l ca -d 'A file of certificates to trust in place of the system\'s' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l domain -d 'The hub\'s JetStream domain, where the address is a leaf\'s' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l key -d 'A secret key that signs; may be given more than once' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l sign-with -d 'A command that signs a file whose name it gets, such as "minisign -S -s KEY -m"' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l key-password-file -d 'A file with the password of the secret keys' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l by -d 'Who does this, for the log' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l reason -d 'Why, for the log' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l end -d 'End it: the node or the colo follows the fleet again'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -l json -d 'Print JSON'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand hold" -s h -l help -d 'Print help'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l node -d 'One node' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l colo -d 'One colo' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l config -d 'The publisher\'s settings [default: fleet.toml, if it is there]' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l fleet -d 'The fleet\'s name' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l at -d 'The tree: dir:PATH, https://HOST/PATH, nats://HOST or tls://HOST' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l nkey -d 'A file with the seed of an nkey, for NATS' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l user -d 'A user of NATS' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l password-file -d 'A file with the user\'s password' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l ca -d 'A file of certificates to trust in place of the system\'s' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l domain -d 'The hub\'s JetStream domain, where the address is a leaf\'s' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l key -d 'A secret key that signs; may be given more than once' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l sign-with -d 'A command that signs a file whose name it gets, such as "minisign -S -s KEY -m"' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l key-password-file -d 'A file with the password of the secret keys' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l by -d 'Who does this, for the log' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l reason -d 'Why, for the log' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -l json -d 'Print JSON'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand rollback" -s h -l help -d 'Print help'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -l for -d 'For how long: 90s, 30m, 2h' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -l config -d 'The publisher\'s settings [default: fleet.toml, if it is there]' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -l fleet -d 'The fleet\'s name' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -l at -d 'The tree: dir:PATH, https://HOST/PATH, nats://HOST or tls://HOST' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -l nkey -d 'A file with the seed of an nkey, for NATS' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -l user -d 'A user of NATS' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -l password-file -d 'A file with the user\'s password' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -l ca -d 'A file of certificates to trust in place of the system\'s' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -l domain -d 'The hub\'s JetStream domain, where the address is a leaf\'s' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -l key -d 'A secret key that signs; may be given more than once' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -l sign-with -d 'A command that signs a file whose name it gets, such as "minisign -S -s KEY -m"' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -l key-password-file -d 'A file with the password of the secret keys' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -l by -d 'Who does this, for the log' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -l reason -d 'Why, for the log' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -l json -d 'Print JSON'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand drain" -s h -l help -d 'Print help'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand undrain" -l config -d 'The publisher\'s settings [default: fleet.toml, if it is there]' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand undrain" -l fleet -d 'The fleet\'s name' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand undrain" -l at -d 'The tree: dir:PATH, https://HOST/PATH, nats://HOST or tls://HOST' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand undrain" -l nkey -d 'A file with the seed of an nkey, for NATS' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand undrain" -l user -d 'A user of NATS' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand undrain" -l password-file -d 'A file with the user\'s password' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand undrain" -l ca -d 'A file of certificates to trust in place of the system\'s' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand undrain" -l domain -d 'The hub\'s JetStream domain, where the address is a leaf\'s' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand undrain" -l key -d 'A secret key that signs; may be given more than once' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand undrain" -l sign-with -d 'A command that signs a file whose name it gets, such as "minisign -S -s KEY -m"' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand undrain" -l key-password-file -d 'A file with the password of the secret keys' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand undrain" -l by -d 'Who does this, for the log' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand undrain" -l reason -d 'Why, for the log' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand undrain" -l json -d 'Print JSON'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand undrain" -s h -l help -d 'Print help'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand log" -l since -d 'Only what happened in this time (12h, 30d) or since then (2026-11-30)' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand log" -l config -d 'The publisher\'s settings [default: fleet.toml, if it is there]' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand log" -l fleet -d 'The fleet\'s name' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand log" -l at -d 'The tree: dir:PATH, https://HOST/PATH, nats://HOST or tls://HOST' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand log" -l nkey -d 'A file with the seed of an nkey, for NATS' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand log" -l user -d 'A user of NATS' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand log" -l password-file -d 'A file with the user\'s password' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand log" -l ca -d 'A file of certificates to trust in place of the system\'s' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand log" -l domain -d 'The hub\'s JetStream domain, where the address is a leaf\'s' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand log" -l json -d 'Print JSON'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand log" -s h -l help -d 'Print help'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand agent" -l config -d 'The node\'s configuration file' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand agent" -l simulate -d 'Be so many agents at once, of nodes that are not there, to see what a hub can bear' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand agent" -s h -l help -d 'Print help'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand fetch" -l config -d 'The node\'s configuration file' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand fetch" -l once -d 'Return once the node has what it should have and that has proved itself, as `fetch` always does'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand fetch" -s h -l help -d 'Print help'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand metrics" -l fleet -d 'The fleet\'s name' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand metrics" -l at -d 'The tree: dir:PATH, https://HOST/PATH, nats://HOST or tls://HOST' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand metrics" -l nkey -d 'A file with the seed of an nkey, for NATS' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand metrics" -l user -d 'A user of NATS' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand metrics" -l password-file -d 'A file with the user\'s password' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand metrics" -l ca -d 'A file of certificates to trust in place of the system\'s' -r -F
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand metrics" -l domain -d 'The hub\'s JetStream domain, where the address is a leaf\'s' -r
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand metrics" -s h -l help -d 'Print help'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand help; and not __fish_seen_subcommand_from keygen check publish status promote hold rollback drain undrain log agent fetch metrics help" -f -a "keygen" -d 'Make a key that signs releases'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand help; and not __fish_seen_subcommand_from keygen check publish status promote hold rollback drain undrain log agent fetch metrics help" -f -a "check" -d 'Check a directory that is to become a release'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand help; and not __fish_seen_subcommand_from keygen check publish status promote hold rollback drain undrain log agent fetch metrics help" -f -a "publish" -d 'Make a release of a directory, sign it, and point the first nodes at it'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand help; and not __fish_seen_subcommand_from keygen check publish status promote hold rollback drain undrain log agent fetch metrics help" -f -a "status" -d 'Show which node has which release'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand help; and not __fish_seen_subcommand_from keygen check publish status promote hold rollback drain undrain log agent fetch metrics help" -f -a "promote" -d 'Give a release to the next nodes'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand help; and not __fish_seen_subcommand_from keygen check publish status promote hold rollback drain undrain log agent fetch metrics help" -f -a "hold" -d 'Stop nodes at what they have'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand help; and not __fish_seen_subcommand_from keygen check publish status promote hold rollback drain undrain log agent fetch metrics help" -f -a "rollback" -d 'Give nodes an older release again'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand help; and not __fish_seen_subcommand_from keygen check publish status promote hold rollback drain undrain log agent fetch metrics help" -f -a "drain" -d 'Take nodes out of service'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand help; and not __fish_seen_subcommand_from keygen check publish status promote hold rollback drain undrain log agent fetch metrics help" -f -a "undrain" -d 'Return drained nodes to service'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand help; and not __fish_seen_subcommand_from keygen check publish status promote hold rollback drain undrain log agent fetch metrics help" -f -a "log" -d 'Show who published, promoted and rolled back'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand help; and not __fish_seen_subcommand_from keygen check publish status promote hold rollback drain undrain log agent fetch metrics help" -f -a "agent" -d 'On a node: follow the fleet\'s releases'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand help; and not __fish_seen_subcommand_from keygen check publish status promote hold rollback drain undrain log agent fetch metrics help" -f -a "fetch" -d 'On a node: fetch the release that is wanted, once'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand help; and not __fish_seen_subcommand_from keygen check publish status promote hold rollback drain undrain log agent fetch metrics help" -f -a "metrics" -d 'Collect the statistics of all nodes, and serve them'
complete -c as112d-fleet -n "__fish_as112d_fleet_using_subcommand help; and not __fish_seen_subcommand_from keygen check publish status promote hold rollback drain undrain log agent fetch metrics help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'

//! Man pages and completions of the second program, from the tree of its command line.

use as112d_fleet::cli::Cli;
use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

const NAME: &str = "as112d-fleet";

/// A page for the program, and one for each command.
fn pages() -> Vec<(String, String)> {
    // The tree takes names that live as long as the program.
    let page = |command: Command, name: &'static str| {
        let mut text = Vec::new();
        let man = Man::new(command.name(name).display_name(name)).section("8").manual("as112d").date("");
        man.render(&mut text).expect("a Vec takes it");
        (format!("{name}.8"), String::from_utf8(text).expect("pages are text"))
    };
    let mut all = Cli::command().disable_help_subcommand(true);
    all.build();
    let mut pages = vec![page(all.clone(), NAME)];
    for command in all.get_subcommands() {
        let name = format!("{NAME}-{}", command.get_name()).leak();
        pages.push(page(command.clone().version(env!("CARGO_PKG_VERSION")), name));
    }
    pages
}

#[test]
fn pages_are_those_of_the_command_line() {
    super::check_folder("fleet/packaging/man", &pages());
}

#[test]
fn completions_are_those_of_the_command_line() {
    let shells = [(Shell::Bash, NAME), (Shell::Zsh, "_as112d-fleet"), (Shell::Fish, "as112d-fleet.fish")];
    let made = |(shell, file): (Shell, &str)| {
        let mut text = Vec::new();
        generate(shell, &mut Cli::command(), NAME, &mut text);
        (file.to_owned(), String::from_utf8(text).expect("scripts are text"))
    };
    super::check_folder("fleet/packaging/completions", &shells.map(made));
}

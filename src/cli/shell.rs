//! Shell completions and manual pages, generated from the definition of the command line.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{definition, print, write_file};

/// Prints the completions for a shell.
pub(super) fn completions(shell: Shell) -> anyhow::Result<ExitCode> {
    let mut definition = definition();
    let name = definition.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition, name, &mut script);
    print(&String::from_utf8(script)?)
}

/// Writes the manual pages of the program and of each command to `dir`; without it, prints the page
/// of the program.
pub(super) fn man(dir: Option<&Path>) -> anyhow::Result<ExitCode> {
    let Some(dir) = dir else {
        let mut page = Vec::new();
        // As in the written page: there is no page for `help`.
        Man::new(definition().disable_help_subcommand(true)).render(&mut page)?;
        return print(&String::from_utf8(page)?);
    };
    // As in `clap_mangen::generate_to`, which would write through links.
    let mut definition = definition().disable_help_subcommand(true);
    definition.build();
    let written = fs::create_dir_all(dir).and_then(|()| write_pages(definition, dir));
    written.with_context(|| format!("cannot write manual pages to {}", dir.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn write_pages(command: Command, dir: &Path) -> io::Result<()> {
    for subcommand in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        write_pages(subcommand.clone(), dir)?;
    }
    let page = Man::new(command);
    let mut text = Vec::new();
    page.render(&mut text)?;
    write_file(&dir.join(page.get_filename()), &text)
}

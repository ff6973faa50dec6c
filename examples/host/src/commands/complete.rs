//! `completions` and `man`: made of the command line itself.

use std::io::{self, Write};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::exit::Failure;

pub(crate) fn completions(mut command: Command, shell: Shell) -> Result<(), Failure> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    write(&script)
}

/// One page: the program, and then each subcommand with its arguments.
pub(crate) fn man(mut command: Command) -> Result<(), Failure> {
    command.build();
    let mut page = Vec::new();
    let render = |page: &mut Vec<u8>| -> io::Result<()> {
        Man::new(command.clone()).render(page)?;
        describe(page, &command)
    };
    render(&mut page).expect("memory can be written to");
    write(&page)
}

fn describe(page: &mut Vec<u8>, command: &Command) -> io::Result<()> {
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = command.get_bin_name().unwrap_or(command.get_name());
        let mut heading = Roff::new();
        heading.control("SH", [name.to_uppercase().as_str()]);
        heading.to_writer(page)?;
        let mut text = Roff::new();
        let about = command.get_long_about().or(command.get_about());
        text.text([roman(about.map(ToString::to_string).unwrap_or_default())]);
        text.to_writer(page)?;
        let man = Man::new(command.clone());
        man.render_synopsis_section(page)?;
        man.render_options_section(page)?;
        man.render_extra_section(page)?;
        describe(page, command)?;
    }
    Ok(())
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    io::stdout().write_all(bytes).map_err(|e| Failure::output(&e))
}

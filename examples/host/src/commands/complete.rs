//! `completions` and `man`: made of the command line itself.

use std::io::{self, Write};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::exit::Failure;

pub(crate) fn completions(mut command: Command, shell: Shell) -> Result<(), Failure> {
    let name = command.get_name().to_owned();
    let script = match shell {
        Shell::Bash => for_bash(command, &name),
        _ => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, name, &mut script);
            script
        }
    };
    write(&script)
}

/// What the generator makes of a name with hyphens completes no subcommand: it writes them in two ways. So the script is
/// made for a name without, and then completes the other.
fn for_bash(mut command: Command, name: &str) -> Vec<u8> {
    let plain = name.replace('-', "_");
    let mut script = Vec::new();
    clap_complete::generate(Shell::Bash, &mut command, &plain, &mut script);
    let script = String::from_utf8(script).expect("the command line is UTF-8");
    script.replace(&format!(" -o default {plain}\n"), &format!(" -o default {name}\n")).into_bytes()
}

/// One page: the program, and then each subcommand with its arguments.
pub(crate) fn man(mut command: Command) -> Result<(), Failure> {
    command.build();
    let mut page = Vec::new();
    let render = |page: &mut Vec<u8>| -> io::Result<()> {
        let man = Man::new(command.clone());
        man.render_title(page)?;
        man.render_name_section(page)?;
        man.render_synopsis_section(page)?;
        man.render_description_section(page)?;
        man.render_options_section(page)?;
        describe(page, &command)?;
        after_help(page, &command, "SH", str::to_uppercase)?;
        man.render_version_section(page)
    };
    render(&mut page).expect("memory can be written to");
    write(&page)
}

/// A section for each subcommand.
fn describe(page: &mut Vec<u8>, command: &Command) -> io::Result<()> {
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = command.get_bin_name().unwrap_or(command.get_name());
        heading(page, "SH", &name.to_uppercase())?;
        let about = command.get_long_about().or(command.get_about());
        let mut text = Roff::new();
        for paragraph in about.map(ToString::to_string).unwrap_or_default().split("\n\n") {
            text.control("PP", []).text([roman(paragraph)]);
        }
        text.to_writer(page)?;
        let man = Man::new(command.clone());
        let mut parts = Vec::new();
        man.render_synopsis_section(&mut parts)?;
        man.render_options_section(&mut parts)?;
        // Parts of this section, and not sections.
        let parts = String::from_utf8(parts).expect("the command line is UTF-8");
        page.write_all(parts.replace("\n.SH ", "\n.SS ").as_bytes())?;
        after_help(page, command, "SS", str::to_owned)?;
        describe(page, command)?;
    }
    Ok(())
}

/// What help says behind the arguments: a part for each line that ends with a colon, and as it is.
fn after_help(
    page: &mut Vec<u8>,
    command: &Command,
    level: &str,
    title: impl Fn(&str) -> String,
) -> io::Result<()> {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut part = Roff::new();
    part.control("PP", []).control("nf", []);
    for line in text.lines() {
        match line.strip_suffix(':').filter(|_| !line.starts_with(' ')) {
            Some(name) => {
                part.control("fi", []).control(level, [title(name).as_str()]).control("nf", []);
            }
            None => {
                part.text([roman(line)]);
            }
        }
    }
    part.control("fi", []);
    part.to_writer(page)
}

fn heading(page: &mut Vec<u8>, level: &str, name: &str) -> io::Result<()> {
    let mut heading = Roff::new();
    heading.control(level, [name]);
    heading.to_writer(page)
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    io::stdout().write_all(bytes).map_err(|e| Failure::output(&e))
}

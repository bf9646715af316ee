//! `foldlog completions` and `foldlog man`: both made from the definitions that parse.
//!
//! Owns where pages go. Refuses to know verbs and flags.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::{self, Cli};

const NAME: &str = "foldlog";

/// Prints the completions of a shell.
pub fn completions(flags: &cli::Completions) -> Result<ExitCode, String> {
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut Cli::command(), NAME, &mut script);
    // Whoever reads no more wants no more.
    let _ = io::stdout().lock().write_all(&script);
    Ok(ExitCode::SUCCESS)
}

/// Prints the page, or writes one a verb.
pub fn man(flags: &cli::Man) -> Result<ExitCode, String> {
    let mut command = Cli::command();
    command.build();
    let failed = |e: io::Error| format!("a page can not be written: {e}");
    match &flags.dir {
        None => {
            let mut page = Vec::new();
            whole(&command, &mut page).map_err(failed)?;
            let _ = io::stdout().lock().write_all(&page);
        }
        Some(dir) => {
            let written = std::fs::create_dir_all(dir)
                .and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
            written.map_err(|e| format!("{}: {e}", dir.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verbs(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| verb.get_name() != "help")
}

/// One page of all verbs: each verb's own sections become parts of one.
fn whole(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let man = Man::new(command.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    for verb in verbs(command) {
        let man = Man::new(verb.clone());
        let mut sections = Vec::new();
        man.render_description_section(&mut sections)?;
        man.render_synopsis_section(&mut sections)?;
        man.render_options_section(&mut sections)?;
        man.render_extra_section(&mut sections)?;
        writeln!(page, ".SH \"{}\"", verb.get_name().to_uppercase())?;
        let sections = String::from_utf8_lossy(&sections).into_owned();
        // The name says it, and the page's own beginning is there once.
        let heads = [".SH DESCRIPTION", ".ie ", ".el "];
        for line in sections.lines().filter(|line| !heads.iter().any(|h| line.starts_with(h))) {
            match line.strip_prefix(".SH ") {
                // What clap prints last: most of it are examples.
                Some("EXTRA") => writeln!(page, ".SS EXAMPLES")?,
                Some(section) => writeln!(page, ".SS {section}")?,
                None => writeln!(page, "{line}")?,
            }
        }
    }
    man.render_extra_section(page)?;
    man.render_version_section(page)
}

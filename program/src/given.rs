//! Which options stand on the command line.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};

/// The options of `T` that stand on the command line, by name.
pub fn given<T: Args>(matches: &ArgMatches) -> Vec<String> {
    let all = T::augment_args(Command::new("options"));
    (all.get_arguments())
        .filter(|option| {
            matches.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine)
        })
        .filter_map(|option| Some(format!("--{}", option.get_long()?)))
        .collect()
}

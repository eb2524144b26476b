//! `spore images` (hidden): prepares the runtime images ahead of the first deploy.

use crate::args::Output;
use crate::failure::Failure;
use crate::print;
use std::path::PathBuf;

/// Prepares all images and prints where they are.
pub(crate) fn run(output: Output) -> Result<(), Failure> {
    let paths = prepare()?;
    match output {
        Output::Json => print::json(&paths),
        Output::Table => paths.iter().try_for_each(|path| print::line(&path.display().to_string())),
    }
}

/// Prepares all images; says on stderr what takes long.
pub(crate) fn prepare() -> Result<Vec<PathBuf>, Failure> {
    let cache = runtimes::cache_dir();
    let prepare = |name: &str| {
        runtimes::image::prepare(name, &cache, &print::note).map(|image| image.path).map_err(|error| {
            Failure::new(format!("the image of runtime {name} cannot be prepared: {}", print::chain(&error)))
        })
    };
    runtimes::image::names().into_iter().map(prepare).collect()
}

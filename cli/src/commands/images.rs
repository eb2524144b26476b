//! `spore images` (hidden): prepares the runtime images ahead of the first deploy.

use crate::args::Output;
use crate::failure::Failure;
use crate::print;
use runtimes::launch::{NATIVE, PYTHON};
use std::path::PathBuf;

/// Prepares all images and prints where they are.
pub(crate) fn run(output: Output) -> Result<(), Failure> {
    let paths = prepare(&runtimes::image::names())?;
    match output {
        Output::Json => print::json(&paths),
        Output::Table => paths.iter().try_for_each(|path| print::line(&path.display().to_string())),
    }
}

/// Prepares the images that most functions need. The one of Node.js takes pip and a large download: it is prepared when
/// the first function needs it.
pub(crate) fn prepare_common() -> Result<Vec<PathBuf>, Failure> {
    prepare(&[PYTHON, NATIVE])
}

/// Prepares images; says on stderr what takes long.
fn prepare(names: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let cache = runtimes::cache_dir();
    let prepare = |name: &str| {
        runtimes::image::prepare(name, &cache, &print::note).map(|image| image.path).map_err(|error| {
            Failure::new(format!("the image of runtime {name} cannot be prepared: {}", print::chain(&error)))
        })
    };
    names.iter().map(|name| prepare(name)).collect()
}

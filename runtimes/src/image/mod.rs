//! Root images: what a function sees as `/`.
//!
//! An image is an uncompressed EROFS file built from Debian packages (and wheels), once for each machine, and kept in the
//! cache directory. Its name carries a key that changes with everything it is made from.
//!
//! ```text
//! CACHE/images/NAME-KEY.erofs        the image
//! CACHE/images/NAME-KEY.json         its digest, and what it was built from
//! CACHE/images/NAME.lock             held while NAME is looked up or built
//! CACHE/packages, CACHE/apt          see `apt` and `wheel`
//! ```

mod apt;
mod error;
mod index;
pub mod local;
mod precompile;
mod recipe;
mod run;
mod stage;
mod store;
#[cfg(test)]
mod tests;
mod wheel;

pub use error::ImageError;

use error::Context;
use index::megabytes;
use recipe::{Recipe, Source};
use snapshotter::erofs::{Options, Tree};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;
use store::{Record, Store};

/// Grows when the EROFS writer makes another image from the same tree.
pub(crate) const WRITER_VERSION: u32 = 2;

/// A root image on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootImage {
    /// The file.
    pub path: PathBuf,
    /// Its SHA-256, hex.
    pub sha256: String,
    /// Name of its runtime.
    pub name: String,
}

/// Names of the runtimes that have a root image.
pub fn names() -> Vec<&'static str> {
    recipe::names().collect()
}

/// Returns the root image of runtime `name`, building it below `cache` if it is not there.
///
/// Safe to call from many threads and processes at once: one builds, the others wait. `progress` gets a line
/// for each step that takes long.
pub fn prepare(name: &str, cache: &Path, progress: &dyn Fn(&str)) -> Result<RootImage, ImageError> {
    let source = Source::find(name)?;
    let store = Store::open(cache, name, &source.key(), progress)?;
    if let Some(image) = store.find()? {
        return Ok(image);
    }
    let start = Instant::now();
    let recipe = source.recipe()?;
    let debs = apt::fetch(&recipe, cache, progress)?;
    let fetched = recipe.wheels.iter().map(|wheel| Ok((wheel, wheel::fetch(wheel, cache, progress)?)));
    let wheels: Vec<_> = fetched.collect::<Result<_, ImageError>>()?;
    let scratch = store.scratch()?;
    let (root, tools) = (scratch.path().join("root"), scratch.path().join("tools"));
    for directory in [&root, &tools] {
        fs::create_dir(directory).on("create", directory)?;
    }
    progress(&format!("{name}: unpacking {} packages", debs.len()));
    stage::unpack(&recipe, &debs, &root, &tools)?;
    for (wheel, archive) in wheels {
        wheel::unpack(wheel, &archive, &root)?;
    }
    stage::complete(&recipe, source, &root, &tools)?;
    if let Some(what) = &recipe.precompile {
        progress(&format!("{name}: compiling the standard library, so that no function has to"));
        precompile::precompile(what, &root, scratch.path())?;
    }
    let dangling = stage::dangling(&root)?;
    if !dangling.is_empty() {
        return Err(ImageError::Layout(format!("links lead nowhere: {}", dangling.join(", "))));
    }
    let draft = scratch.path().join("image");
    let bytes = write_image(&root, &draft)?;
    let files = debs.iter().map(|deb| &deb.file).chain(recipe.wheels.iter().map(|wheel| &wheel.file));
    let packages = files.cloned().collect();
    let image = store.publish(&draft, Record { packages, ..Record::default() })?;
    progress(&format!(
        "{name}: image ready, {:.1} MB, in {:.1} s",
        megabytes(bytes),
        start.elapsed().as_secs_f64()
    ));
    Ok(image)
}

/// Fetches Debian packages and unpacks them into the empty directory `root`, made the root of a complete system. Packages
/// that others depend on are not added. For trying out what `spore run --image` can run.
pub fn unpack_packages(
    packages: &[&str],
    root: &Path,
    cache: &Path,
    progress: &dyn Fn(&str),
) -> Result<(), ImageError> {
    let recipe = Recipe::of_packages(packages);
    let debs = apt::fetch(&recipe, cache, progress)?;
    let tools = tempfile::tempdir_in(cache).on("create a directory in", cache)?;
    stage::unpack(&recipe, &debs, root, tools.path())?;
    stage::complete(&recipe, &Source::NONE, root, tools.path())
}

/// Adds to the tree at `root` what runtime `name` takes out of wheels: for `node24` that is Node.js.
pub fn add_wheels(name: &str, root: &Path, cache: &Path, progress: &dyn Fn(&str)) -> Result<(), ImageError> {
    for wheel in &Source::find(name)?.recipe()?.wheels {
        wheel::unpack(wheel, &wheel::fetch(wheel, cache, progress)?, root)?;
    }
    Ok(())
}

/// Why no image was written to, or made from, `path`.
fn image_error(path: &Path, error: snapshotter::erofs::Error) -> ImageError {
    match error {
        snapshotter::erofs::Error::Write(source) => ImageError::io("write", path, source),
        other => ImageError::Write { path: path.to_owned(), detail: crate::chain(&other) },
    }
}

/// Writes the tree in `root` as an image to `out`.
fn write_image(root: &Path, out: &Path) -> Result<u64, ImageError> {
    let failed = |error| image_error(out, error);
    let mut tree = Tree::new();
    tree.add_host_dir("", root).map_err(failed)?;
    for directory in stage::SHARED_DIRECTORIES {
        tree.add_dir(directory, 0o1777).map_err(failed)?;
    }
    let mut writer = BufWriter::new(File::create(out).on("create", out)?);
    let bytes = snapshotter::erofs::build(&tree, &mut writer, &Options::default()).map_err(failed)?;
    writer.flush().on("write", out)?;
    writer.get_ref().sync_all().on("write", out)?;
    Ok(bytes)
}

//! Debian packages, fetched with the machine's own `apt-get` into a private directory: no root, no change to
//! the system. apt checks the signatures; the digests it promises are checked again here.
//!
//! ```text
//! CACHE/packages/   .deb files, named as in the archive, each matching its digest
//! CACHE/apt/        apt's own files: its cache, and package lists if the machine has none or old ones
//! ```

use crate::image::error::{Context, ImageError};
use crate::image::index::{self, Deb};
use crate::image::recipe::Recipe;
use crate::image::run::{Failure, run};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const HOST_LISTS: &str = "/var/lib/apt/lists";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const NO_APT: &str = "use a Debian 12 machine, or install apt and the package debian-archive-keyring";

/// Fetches all packages of `recipe` and returns them in its order, tools last.
pub(crate) fn fetch(recipe: &Recipe, cache: &Path, progress: &dyn Fn(&str)) -> Result<Vec<Deb>, ImageError> {
    let apt = Apt::new(cache, recipe)?;
    // apt itself does not wait for another apt: images built at the same time fetch one after the other.
    let path = apt.home.join("fetch.lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&path).on("open", &path)?;
    lock.lock().on("lock", &path)?;
    if let Some(lists) = apt.known_lists() {
        match apt.fetch(&lists, recipe, progress) {
            Err(ImageError::NoPackage { .. } | ImageError::Apt { .. } | ImageError::Damaged { .. }) => {}
            done => return done,
        }
    }
    progress(&format!(
        "{}: reading Debian's package lists (about 10 MB, kept under {}), because this machine has none that fit",
        recipe.name,
        apt.home.display()
    ));
    let updated = apt.update();
    // apt also reports failures of sources that do not matter here: what counts is whether the packages come.
    match (apt.fetch(&apt.private_lists(), recipe, progress), updated) {
        (Ok(debs), _) => Ok(debs),
        (Err(ImageError::NoPackage { .. } | ImageError::Apt { .. }), Err(update)) => Err(update),
        (Err(error), _) => Err(error),
    }
}

struct Apt {
    home: PathBuf,
    packages: PathBuf,
    suite: String,
    /// A sources file of our own, where the machine is not the Debian release the recipe needs.
    sources: Option<PathBuf>,
}

impl Apt {
    fn new(cache: &Path, recipe: &Recipe) -> Result<Self, ImageError> {
        let home = cache.join("apt");
        let packages = cache.join("packages");
        for directory in [&packages, &home.join("lists/partial"), &home.join("cache/archives/partial")] {
            fs::create_dir_all(directory).on("create", directory)?;
        }
        let status = home.join("status");
        fs::write(&status, "").on("write", &status)?;
        let mut apt = Self { home, packages, suite: recipe.suite.clone(), sources: None };
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        if index::codename(&release) != Some(recipe.suite.as_str()) {
            apt.sources = Some(apt.own_sources()?);
        }
        Ok(apt)
    }

    fn own_sources(&self) -> Result<PathBuf, ImageError> {
        if !Path::new(KEYRING).is_file() {
            return Err(ImageError::NoTool { tool: "debian-archive-keyring", remedy: NO_APT });
        }
        let suite = &self.suite;
        let path = self.home.join(format!("{suite}.list"));
        let text = format!(
            "deb [arch=amd64 signed-by={KEYRING}] http://deb.debian.org/debian {suite} main\n\
             deb [arch=amd64 signed-by={KEYRING}] http://deb.debian.org/debian-security {suite}-security main\n"
        );
        fs::write(&path, text).on("write", &path)?;
        Ok(path)
    }

    fn private_lists(&self) -> PathBuf {
        self.home.join("lists")
    }

    /// Package lists that exist already: our own, else the machine's.
    fn known_lists(&self) -> Option<PathBuf> {
        let host = self.sources.is_none().then(|| PathBuf::from(HOST_LISTS));
        let wanted = format!("_dists_{}_main_binary-amd64_Packages", self.suite);
        std::iter::once(self.private_lists()).chain(host).find(|directory| {
            fs::read_dir(directory).is_ok_and(|entries| {
                entries.flatten().any(|e| e.file_name().to_string_lossy().contains(&wanted))
            })
        })
    }

    fn command(&self, lists: &Path) -> Command {
        let mut command = Command::new("apt-get");
        command.env("LC_ALL", "C").arg("-q");
        let directory = |key: &str, path: &Path| format!("{key}={}/", path.display());
        let mut options = vec![
            "APT::Architecture=amd64".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=2".to_owned(),
            // A list that could not be fetched is a failure, not a warning.
            "APT::Update::Error-Mode=any".to_owned(),
            // What is installed here has no say in what an image is made of.
            format!("Dir::State::status={}", self.home.join("status").display()),
            directory("Dir::State::lists", lists),
            directory("Dir::Cache", &self.home.join("cache")),
        ];
        if let Some(sources) = &self.sources {
            options.push(format!("Dir::Etc::sourcelist={}", sources.display()));
            options.push("Dir::Etc::sourceparts=-".to_owned());
        }
        for option in options {
            command.arg("-o").arg(option);
        }
        command
    }

    fn update(&self) -> Result<(), ImageError> {
        let mut command = self.command(&self.private_lists());
        command.arg("update");
        run(&mut command).map(drop).map_err(|failure| self.explain("update", failure))
    }

    fn fetch(&self, lists: &Path, recipe: &Recipe, progress: &dyn Fn(&str)) -> Result<Vec<Deb>, ImageError> {
        let names: Vec<&str> = recipe.packages.iter().chain(&recipe.tools).map(String::as_str).collect();
        let mut command = self.command(lists);
        command.args(["download", "--print-uris"]).args(&names);
        let listing = run(&mut command).map_err(|failure| self.explain("download --print-uris", failure))?;
        let debs = index::parse(&listing, &names, &self.packages)
            .map_err(|detail| ImageError::Apt { action: "download --print-uris", detail })?;
        let missing: Vec<&Deb> = debs.iter().filter(|deb| !deb.is_intact()).collect();
        if missing.is_empty() {
            progress(&format!("{}: all {} Debian packages are already here", recipe.name, debs.len()));
        } else {
            self.download(lists, recipe, &missing, progress)?;
        }
        Ok(debs)
    }

    fn download(
        &self,
        lists: &Path,
        recipe: &Recipe,
        missing: &[&Deb],
        progress: &dyn Fn(&str),
    ) -> Result<(), ImageError> {
        let bytes: u64 = missing.iter().map(|deb| deb.bytes).sum();
        progress(&format!(
            "{}: fetching {} Debian packages ({:.1} MB) from {}: {}",
            recipe.name,
            missing.len(),
            index::megabytes(bytes),
            missing[0].host,
            recipe.why
        ));
        let landing = tempfile::Builder::new()
            .prefix(".fetch-")
            .tempdir_in(&self.packages)
            .on("create a directory in", &self.packages)?;
        let mut command = self.command(lists);
        command.arg("download").args(missing.iter().map(|deb| &deb.package)).current_dir(landing.path());
        run(&mut command).map_err(|failure| self.explain("download", failure))?;
        for deb in missing {
            let fetched = landing.path().join(&deb.file);
            fs::rename(&fetched, deb.path()).on("move a fetched package to", &deb.path())?;
            deb.verify()?;
        }
        Ok(())
    }

    fn explain(&self, action: &'static str, failure: Failure) -> ImageError {
        let detail = match failure {
            Failure::Missing => return ImageError::NoTool { tool: "apt-get", remedy: NO_APT },
            Failure::NotRun(source) => return ImageError::io("run", Path::new("apt-get"), source),
            Failure::Status { detail } => detail,
        };
        let says = |needles: &[&str]| needles.iter().any(|needle| detail.contains(needle));
        let first = || detail.split("; ").next().unwrap_or(&detail).to_owned();
        if says(&["No space left on device", "Disk quota exceeded", "enough free space"]) {
            ImageError::NoSpace { path: self.home.clone() }
        } else if says(&["Unable to locate package", "has no installation candidate", "Can't find a source"])
        {
            ImageError::NoPackage {
                packages: index::unknown_packages(&detail),
                suite: self.suite.clone(),
                detail,
            }
        } else if says(&[
            "Temporary failure resolving",
            "Could not resolve",
            "Could not connect",
            "timed out",
            "Connection failed",
            "Unable to connect",
            "Network is unreachable",
        ]) {
            ImageError::Network { detail: first() }
        } else if says(&["Hash Sum mismatch", "unexpected size"]) {
            ImageError::Damaged { file: "fetched by apt".to_owned(), detail }
        } else {
            ImageError::Apt { action, detail }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::recipe::Source;

    fn explained(words: &str) -> ImageError {
        let apt = Apt {
            home: PathBuf::from("/cache/apt"),
            packages: PathBuf::from("/cache/packages"),
            suite: "bookworm".to_owned(),
            sources: None,
        };
        apt.explain("download", Failure::Status { detail: words.to_owned() })
    }

    #[test]
    fn what_apt_says_is_sorted_by_remedy() {
        let network = explained(
            "exit status: 100: E: Failed to fetch http://h/a  Temporary failure resolving 'h'; E: more",
        );
        assert!(matches!(&network, ImageError::Network { detail } if !detail.contains("more")), "{network}");
        assert!(network.to_string().contains("proxy"));
        let full = explained("E: You don't have enough free space in /cache");
        assert!(matches!(full, ImageError::NoSpace { .. }) && full.to_string().contains("SPORE_CACHE"));
        let unknown =
            explained("exit status: 100: E: Unable to locate package python3.11-minimal").to_string();
        assert!(unknown.contains("python3.11-minimal") && unknown.contains("bookworm"), "{unknown}");
        assert!(matches!(explained("E: Hash Sum mismatch"), ImageError::Damaged { .. }));
        assert!(matches!(explained("E: Failed to fetch http://h/a  404  Not Found"), ImageError::Apt { .. }));
    }

    #[test]
    fn another_release_gets_sources_of_its_own() {
        let cache = tempfile::tempdir().unwrap();
        let recipe = Source::find("native").unwrap().recipe().unwrap();
        let other = Recipe { suite: "no-such-release".to_owned(), ..recipe };
        match Apt::new(cache.path(), &other) {
            Ok(apt) => {
                let text = fs::read_to_string(apt.sources.unwrap()).unwrap();
                assert!(text.contains("no-such-release-security") && text.contains("signed-by="), "{text}");
            }
            Err(error) => assert!(error.to_string().contains("debian-archive-keyring"), "{error}"),
        }
    }
}

//! An adapter's folder and its base's: the weights stand in the base's alone.

use super::Serving;
use alloy_primitives::B256;
use std::path::{Path, PathBuf};

/// Why a folder and that of a base do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    /// An adapter alone has no weights to answer with.
    #[error("{} is an adapter of the model {base}: name that model's folder too", folder.display())]
    Missing {
        /// The adapter's folder.
        folder: PathBuf,
        /// The model it is an adapter of.
        base: B256,
    },
    /// The base that was named is not the adapter's.
    #[error(
        "{} is an adapter of the model {base}, but {} is the model {found}: name the folder of the base that it was trained over",
        folder.display(),
        given.display()
    )]
    Other {
        /// The adapter's folder.
        folder: PathBuf,
        /// The model it is an adapter of.
        base: B256,
        /// The folder that was named as the base's.
        given: PathBuf,
        /// The model in it.
        found: B256,
    },
    /// A base was named for a model that has its own weights.
    #[error("{} is no adapter and has its own weights: leave --base out", .0.display())]
    NoAdapter(PathBuf),
    /// Adapters stand over weights, not over each other.
    #[error("{} is an adapter itself: name the folder of a model with weights as the base", .0.display())]
    Stacked(PathBuf),
}

impl Serving {
    /// Opens the folder of a model, or of an adapter with its base's.
    pub fn open_over(folder: &Path, base: Option<&Path>) -> anyhow::Result<Serving> {
        let serving = Serving::open(folder)?;
        Ok(match base {
            Some(base) => serving.over(Serving::open(base)?)?,
            None => serving,
        })
    }

    /// Opens folders; each adapter finds its base among them.
    pub fn open_all(folders: &[PathBuf]) -> anyhow::Result<Vec<Serving>> {
        let opened = folders.iter().map(|folder| Serving::open(folder)).collect::<Result<Vec<_>, _>>()?;
        let with_base = |serving: &Serving| match serving.description.base {
            None => Ok(serving.clone()),
            Some(base) => match opened.iter().find(|other| other.description.model == base) {
                Some(found) => serving.clone().over(found.clone()),
                None => Err(serving.missing(base)),
            },
        };
        Ok(opened.iter().map(with_base).collect::<Result<_, _>>()?)
    }

    /// This adapter, over the weights of `base`.
    pub fn over(self, base: Serving) -> Result<Serving, BaseError> {
        let Some(wanted) = self.description.base else { return Err(BaseError::NoAdapter(self.folder)) };
        let found = base.description.model;
        if found != wanted {
            return Err(BaseError::Other { folder: self.folder, base: wanted, given: base.folder, found });
        }
        base.require_weights()?;
        Ok(Serving { base: Some(Box::new(base)), ..self })
    }

    /// # Errors
    /// When it is an adapter, which has no weights of its own.
    pub fn require_weights(&self) -> Result<(), BaseError> {
        match self.description.base {
            None => Ok(()),
            Some(_) => Err(BaseError::Stacked(self.folder.clone())),
        }
    }

    /// The base of an adapter, once it is known where it is.
    pub fn base(&self) -> Option<&Serving> {
        self.base.as_deref()
    }

    /// The served model that holds the weights: itself, or an adapter's base.
    pub(super) fn bearer(&self) -> Result<&Serving, BaseError> {
        match (&self.base, self.description.base) {
            (Some(base), _) => Ok(base),
            (None, None) => Ok(self),
            (None, Some(base)) => Err(self.missing(base)),
        }
    }

    /// The name by which requests choose it: an adapter's begins with its base's.
    pub fn name(&self) -> String {
        let own = &self.description.name;
        self.base.as_ref().map_or(own.clone(), |base| format!("{}:{own}", base.description.name))
    }

    fn missing(&self, base: B256) -> BaseError {
        BaseError::Missing { folder: self.folder.clone(), base }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::Description;

    /// A folder that says that it holds `model`, an adapter of `base` if there is one.
    fn folder(of: &Path, name: &str, model: u8, base: Option<u8>) -> PathBuf {
        let path = of.join(name);
        std::fs::create_dir(&path).expect("a folder");
        let description = Description {
            base: base.map(B256::repeat_byte),
            ..Serving::describe(B256::repeat_byte(model), name)
        };
        Serving::write(&path, description, &[]).expect("written");
        path
    }

    fn refusal(result: anyhow::Result<impl std::fmt::Debug>) -> BaseError {
        result.expect_err("refused").downcast().expect("a refusal of the base")
    }

    #[test]
    fn an_adapter_is_called_by_its_bases_name_and_its_own() {
        let scratch = tempfile::tempdir().expect("a folder");
        let base = folder(scratch.path(), "base", 1, None);
        let tuned = folder(scratch.path(), "tuned", 2, Some(1));
        // In any order.
        let opened = Serving::open_all(&[tuned.clone(), base.clone()]).expect("they go together");
        assert_eq!(opened.iter().map(Serving::name).collect::<Vec<_>>(), ["base:tuned", "base"]);
        assert_eq!(Serving::open_over(&tuned, Some(&base)).expect("opens").name(), "base:tuned");
    }

    #[test]
    fn a_base_that_is_missing_or_another_is_refused_by_name() {
        let scratch = tempfile::tempdir().expect("a folder");
        let base = folder(scratch.path(), "base", 1, None);
        let other = folder(scratch.path(), "other", 3, None);
        let tuned = folder(scratch.path(), "tuned", 2, Some(1));
        let upon = folder(scratch.path(), "upon", 4, Some(2));
        let id = B256::repeat_byte;
        let missing = BaseError::Missing { folder: tuned.clone(), base: id(1) };
        assert_eq!(refusal(Serving::open_all(&[tuned.clone(), other.clone()])), missing);
        assert_eq!(Serving::open(&tuned).expect("opens").bearer().expect_err("no weights"), missing);
        let wrong =
            BaseError::Other { folder: tuned.clone(), base: id(1), given: other.clone(), found: id(3) };
        assert_eq!(refusal(Serving::open_over(&tuned, Some(&other))), wrong);
        assert_eq!(refusal(Serving::open_over(&other, Some(&base))), BaseError::NoAdapter(other));
        assert_eq!(refusal(Serving::open_all(&[upon, tuned.clone(), base])), BaseError::Stacked(tuned));
    }
}
